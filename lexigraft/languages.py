"""Language codes: `iso639-3_Script`, for example `tur_Latn`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
UNSPACED_SCRIPTS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})


def check_code(code: str) -> str:
    """Return `code` if it has the form `iso639-3_Script`, else raise ValueError."""
    if not _CODE.fullmatch(code):
        raise ValueError(f"language code {code!r} is not of the form iso639-3_Script, such as 'tur_Latn'")
    return code


def writes_spaces(code: str) -> bool:
    """Whether words of this language are separated by spaces (Chinese, Japanese, Thai, … are not)."""
    return code.split("_")[1] not in UNSPACED_SCRIPTS


LanguageCode = Annotated[str, AfterValidator(check_code)]
