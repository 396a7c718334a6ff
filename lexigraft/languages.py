"""Language codes, `iso639-3_Script` (for example `tur_Latn`), and a table of the languages in common benchmarks.

`data/languages.tsv` lists all languages of HyperOFA's benchmarks (arXiv 2504.21018, appendix C) and some more, the usual script
of a language first. Its columns: code; name; family (top level, mostly from Glottolog, https://glottolog.org); script;
resource class by the number of sentences in Glot500-c (arXiv 2305.12182; `high` from 5 million, `mid` from 500,000,
consistent with the paper's 22 classes; empty if Glot500-c lacks the language); whether it was in XLM-R's training data (arXiv
1911.02116, table 6); tasks; alternative codes. A language outside the table is allowed if its code is complete and its parts
exist in ISO 639-3 (or -5, for families such as `ber`) and ISO 15924 or are reserved there for private use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pycountry
from pydantic import AfterValidator, BeforeValidator

TABLE = Path(__file__).parent / "data" / "languages.tsv"
UNKNOWN = "unknown"
"""The group of languages outside the table."""
UNSPACED_SCRIPTS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
Aspect = Literal["script", "family", "resource"]
V = TypeVar("V")
_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True, slots=True)
class Language:
    """A row of the table.

    Attributes:
        code: `iso639-3_Script`.
        name: its English name.
        family: language family, top level.
        script: ISO 15924 code.
        resource: `high`, `mid` or `low`; None if Glot500-c lacks the language.
        in_xlm_r: whether XLM-R was trained on it.
        tasks: those of `sr_b`, `sr_t`, `ner`, `pos` and `cpt` (pre-training) that include it in the paper.
        other_codes: alternative codes, as written elsewhere (`tr`, `ger`, `zh-yue`).
    """

    code: str
    name: str
    family: str
    script: str
    resource: str | None
    in_xlm_r: bool
    tasks: tuple[str, ...]
    other_codes: tuple[str, ...]


@cache
def languages() -> Mapping[str, Language]:
    """All languages of the table by code."""
    found = {}
    header, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    for line in lines:
        row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
        found[row["code"]] = Language(
            code=row["code"],
            name=row["name"],
            family=row["family"],
            script=row["script"],
            resource=row["resource"] or None,
            in_xlm_r=row["xlm_r"] == "yes",
            tasks=tuple(filter(None, row["tasks"].split(","))),
            other_codes=tuple(filter(None, row["other_codes"].split(","))),
        )
    return found


def check_code(code: str) -> str:
    """Return `code` if it has the form `iso639-3_Script`, else raise ValueError."""
    if not _CODE.fullmatch(code):
        raise ValueError(f"language code {code!r} is not of the form iso639-3_Script, such as 'tur_Latn'")
    return code


def to_code(text: str) -> str:
    """The code of a language that is given by another name.

    Accepted are ISO 639-1 (`tr`), 639-2/B (`ger`) and 639-3 (`tur`), case-insensitive, which mean the language in its usual
    script; names of Wikipedias (`zh-yue`); and all of these with a script (`sr-Latn`). A complete code is returned unchanged,
    in the table or not, if its parts exist in the standards.

    Raises:
        ValueError: the name is unknown; the message suggests the nearest languages.
    """
    if _CODE.fullmatch(text):
        known = _aliases().get(text.lower())
        if known is None and (lacking := _not_in_standards(text)):
            raise ValueError(f"language code {text!r} is unknown: {lacking}; {_nearest(text.lower().replace('_', '-'))}")
        return known or text
    key = text.lower().replace("_", "-")
    if (known := _aliases().get(key)) is not None:
        return known
    language, _, script = key.rpartition("-")
    code = f"{_aliases().get(language, '')[:3]}_{script.title()}"
    if _CODE.fullmatch(code) and code in languages():
        return code
    raise ValueError(f"language code {text!r} is not of the form iso639-3_Script, such as 'tur_Latn'; {_nearest(key)}")


def _not_in_standards(code: str) -> str:
    """Which part of a complete code is in no standard; '' if both are known or for private use (`qaa` to `qtz`, `Qaaa`)."""
    language, script = code.split("_")
    registers = (pycountry.languages, pycountry.language_families)
    if not "qaa" <= language <= "qtz" and all(register.get(alpha_3=language) is None for register in registers):
        return f"ISO 639-3 has no language {language!r}"
    if not script.startswith("Qa") and pycountry.scripts.get(alpha_4=script) is None:
        return f"ISO 15924 has no script {script!r}"
    return ""


def writes_spaces(code: str) -> bool:
    """Whether words of this language are separated by spaces (Chinese, Japanese, Thai, … are not)."""
    return code.split("_")[1] not in UNSPACED_SCRIPTS


def groups(codes: Iterable[str], aspect: Aspect) -> dict[str, list[str]]:
    """Languages by script, family or resource class: the groups over which means are computed.

    The script is part of the code; a language outside the table has family and resource class `UNKNOWN`.

    Returns:
        name of the group -> its codes, both in the order of `codes`.
    """
    found: dict[str, list[str]] = {}
    for code in codes:
        found.setdefault(_group(code, aspect), []).append(code)
    return found


def seen_groups(codes: Iterable[str], seen: Iterable[str]) -> dict[str, list[str]]:
    """Languages by whether a source model was trained on them: `seen` and `unseen`, without empty groups.

    Args:
        codes: languages to group.
        seen: languages of the source model.
    """
    known = set(seen)
    found: dict[str, list[str]] = {}
    for code in codes:
        found.setdefault("seen" if code in known else "unseen", []).append(code)
    return found


def _group(code: str, aspect: Aspect) -> str:
    if aspect == "script":
        return check_code(code).split("_")[1]
    language = languages().get(code)
    return (getattr(language, aspect) if language else None) or UNKNOWN


@cache
def _aliases() -> Mapping[str, str]:
    """Alternative names of languages, in lower case with hyphens -> their codes."""
    found: dict[str, str] = {}
    for code in languages():
        found.setdefault(code[:3], code)  # the usual script of a language comes first
        found[code.lower()] = found[code.lower().replace("_", "-")] = code
    for code, language in languages().items():
        # ISO 639-3 takes precedence: the name of a Wikipedia may be the code of another language
        found.update({other.lower(): code for other in language.other_codes if other.lower() not in found})
    return found


def _nearest(key: str) -> str:
    named = dict(_aliases())
    for code, language in languages().items():
        named.setdefault(language.name.lower(), code)
    # the same language in another script is nearer than a language with similar spelling
    own = _aliases().get(key.rpartition("-")[0])
    same = [code for code in languages() if own is not None and code[:3] == own[:3]]
    close = dict.fromkeys([*same, *(named[word] for word in get_close_matches(key, named, n=6, cutoff=0.5))])
    if not close:
        return f"none of the {len(languages())} known languages is similar"
    return "did you mean " + " or ".join(f"{code!r} ({languages()[code].name})" for code in list(close)[:3]) + "?"


def _one_name_each(value: Any) -> Any:
    """Refuse a mapping in which two keys name the same language: the second would silently replace the first."""
    named: dict[str, str] = {}
    for key in value if isinstance(value, Mapping) else ():
        try:
            code = to_code(key)
        except (ValueError, AttributeError, TypeError):
            continue  # reported when the key itself is validated
        if code in named:
            raise ValueError(f"{named[code]!r} and {key!r} are the same language, {code}")
        named[code] = key
    return value


LanguageCode = Annotated[str, AfterValidator(to_code)]
"""In settings: a code, or another name of a language that `to_code` accepts."""
ByLanguage = Annotated[dict[LanguageCode, V], BeforeValidator(_one_name_each)]
"""In settings: a value per language, each language at most once."""
