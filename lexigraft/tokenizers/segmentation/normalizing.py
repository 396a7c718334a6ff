"""Normalizing many texts in few calls of `tokenizers`, where a normalizer treats joined texts as texts of their own."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

import polars as pl

from lexigraft.tokenizers.segmentation.ragged import joined
from lexigraft.tokenizers.unigram import INVISIBLE, SPACES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SEPARATOR = "\ufff1"
"""An unassigned code point that nothing joins with or is ordered across."""
_TEXTS_A_CALL = 5_000
# these change a character, or a character and the marks on it; the separator takes no mark
_LOCAL = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Precompiled"}
# these match neither the separator nor anything across it
_LOCAL_EXPRESSIONS = {" {2,}", INVISIBLE, SPACES}


class SeparatorLostError(Exception):
    """Texts that were joined did not come back one by one."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"of {expected} joined texts {found} came back")


class Normalizer:
    """Applies a normalizer to texts."""

    def __init__(self, description: dict[str, Any] | None) -> None:
        """Take the description of a normalizer from `tokenizer.json`; None leaves texts as they are.

        Raises:
            ValueError: it may look beyond the ends of a text when texts are joined.
        """
        steps = _steps(description)
        if not all(_is_local(step) or step["type"] == "Strip" for step in steps):
            raise ValueError("the normalizer is of no kind that can be applied to joined texts")
        self._steps: list[Any] = []
        for is_strip, group in groupby(steps, lambda step: step["type"] == "Strip"):
            part = list(group)
            self._steps += part if is_strip else [_rust_normalizer(part)]

    def __call__(self, texts: pl.Series) -> pl.Series:
        """Normalize texts, none of which holds the separator.

        Raises:
            SeparatorLostError: it cannot be told where texts end.
        """
        for step in self._steps:
            if not isinstance(step, dict):
                texts = self._normalized(texts, step)
                continue
            texts = texts.str.strip_chars_start() if step["strip_left"] else texts
            texts = texts.str.strip_chars_end() if step["strip_right"] else texts
        return texts

    def _normalized(self, texts: pl.Series, local: Any) -> pl.Series:
        calls = [texts[start : start + _TEXTS_A_CALL] for start in range(0, len(texts), _TEXTS_A_CALL)]
        found = pl.Series([local.normalize_str(joined(call, SEPARATOR)) for call in calls], dtype=pl.String)
        found = found.str.split(SEPARATOR).explode()
        if len(found) != len(texts):
            raise SeparatorLostError(len(found), len(texts))
        return found


def _steps(description: dict[str, Any] | None) -> list[dict[str, Any]]:
    if description is None:
        return []
    if description["type"] == "Sequence":
        return [step for part in description["normalizers"] for step in _steps(part)]
    return [description]


def _is_local(step: dict[str, Any]) -> bool:
    if step["type"] == "Replace":
        pattern = step["pattern"]
        literal = bool(pattern.get("String")) and SEPARATOR not in pattern["String"]
        return (literal or pattern.get("Regex") in _LOCAL_EXPRESSIONS) and SEPARATOR not in step["content"]
    return step["type"] in _LOCAL


def _rust_normalizer(steps: list[dict[str, Any]]) -> Any:
    from tokenizers import Tokenizer, models

    bare = json.loads(Tokenizer(models.BPE()).to_str())
    bare["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return Tokenizer.from_str(json.dumps(bare)).normalizer


def description(tokenizer: Tokenizer) -> dict[str, Any]:
    """What `tokenizer.json` says of normalizer and pre-tokenizer (keys `normalizer`, `pre_tokenizer`)."""
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers import models

    bare = RustTokenizer(models.BPE())
    if tokenizer.normalizer is not None:
        bare.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        bare.pre_tokenizer = tokenizer.pre_tokenizer
    found: dict[str, Any] = json.loads(bare.to_str())
    return {key: found[key] for key in ("normalizer", "pre_tokenizer")}
