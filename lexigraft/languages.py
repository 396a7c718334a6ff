"""Language codes, `iso639-3_Script` (for example `tur_Latn`), and what is known of the languages that the field is tested on.

`data/languages.tsv` holds all languages of HyperOFA's benchmarks (arXiv 2504.21018, appendix C) and some more, the usual script
of a language first. Its columns: the code; name; family (the top level, mostly as Glottolog has it, https://glottolog.org);
script; resource class by the number of sentences in Glot500-c (arXiv 2305.12182; `high` from 5 million, `mid` from 500,000,
as the paper's own 22 classes have it; empty where Glot500-c lacks the language); whether XLM-R's training data had it (arXiv
1911.02116, table 6); tasks; codes that others use. A language that the table lacks is no error as long as its code is complete
and made of codes that ISO 639-3 (or -5, for families such as `ber`) and ISO 15924 have or set aside for private use.
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
"""The group of languages of which the table says nothing."""
UNSPACED_SCRIPTS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
Aspect = Literal["script", "family", "resource"]
V = TypeVar("V")
_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True, slots=True)
class Language:
    """A row of the table.

    Attributes:
        code: `iso639-3_Script`.
        name: in English.
        family: language family, top level.
        script: ISO 15924.
        resource: `high`, `mid` or `low`; None where Glot500-c lacks the language.
        in_xlm_r: whether XLM-R was trained on it.
        tasks: of `sr_b`, `sr_t`, `ner`, `pos` and `cpt` (pre-training), those in which the paper has it.
        other_codes: what it is called elsewhere, as written there (`tr`, `ger`, `zh-yue`).
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
    """All languages of the table by their codes."""
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
    """The code of a language that is named in another way.

    Known are ISO 639-1 (`tr`), 639-2/B (`ger`) and 639-3 (`tur`) in any case, which stand for the language in its usual script;
    names of Wikipedias (`zh-yue`), and all of these with a script (`sr-Latn`). A complete code is returned as it is, in the
    table or not, if the standards have its parts.

    Raises:
        ValueError: no language is known by it; the message names the nearest.
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
    """What of a complete code no standard has, in words; empty if all is known or of private use (`qaa` to `qtz`, `Qaaa`)."""
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
    """Languages by script, family or resource class: the groups over which means are taken.

    The script is read off the code; a language that the table lacks has family and resource class `UNKNOWN`.

    Returns:
        name of the group -> its codes, both in the order of `codes`.
    """
    found: dict[str, list[str]] = {}
    for code in codes:
        found.setdefault(_group(code, aspect), []).append(code)
    return found


def seen_groups(codes: Iterable[str], seen: Iterable[str]) -> dict[str, list[str]]:
    """Languages by whether a source model was trained on them: `seen` and `unseen`, a group without languages left out.

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
    """What languages are called elsewhere, in lower case with hyphens -> their codes."""
    found: dict[str, str] = {}
    for code in languages():
        found.setdefault(code[:3], code)  # the usual script of a language comes first
        found[code.lower()] = found[code.lower().replace("_", "-")] = code
    for code, language in languages().items():
        # ISO 639-3 wins: a Wikipedia's name may be another language's code
        found.update({other.lower(): code for other in language.other_codes if other.lower() not in found})
    return found


def _nearest(key: str) -> str:
    named = dict(_aliases())
    for code, language in languages().items():
        named.setdefault(language.name.lower(), code)
    # the same language in another script is nearer than any that is written alike
    own = _aliases().get(key.rpartition("-")[0])
    same = [code for code in languages() if own is not None and code[:3] == own[:3]]
    close = dict.fromkeys([*same, *(named[word] for word in get_close_matches(key, named, n=6, cutoff=0.5))])
    if not close:
        return f"it is near to none of the {len(languages())} languages known"
    return "did you mean " + " or ".join(f"{code!r} ({languages()[code].name})" for code in list(close)[:3]) + "?"


def _one_name_each(value: Any) -> Any:
    """Refuse a mapping in which two keys name one language: the second would take the first one's place unseen."""
    named: dict[str, str] = {}
    for key in value if isinstance(value, Mapping) else ():
        try:
            code = to_code(key)
        except (ValueError, AttributeError, TypeError):
            continue  # told where the key itself is checked
        if code in named:
            raise ValueError(f"{named[code]!r} and {key!r} are one language, {code}")
        named[code] = key
    return value


LanguageCode = Annotated[str, AfterValidator(to_code)]
"""In settings: a code, or another name of a language that `to_code` knows."""
ByLanguage = Annotated[dict[LanguageCode, V], BeforeValidator(_one_name_each)]
"""In settings: something for each language, none named twice."""
