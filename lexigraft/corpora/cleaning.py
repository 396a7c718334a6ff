"""Cleaning of sentences: common steps for every text, and the removal of editorial marks that only some texts contain.

Common steps: invisible control characters are removed, text is normalized to Unicode NFC, runs of white space become one
space, and sentences without any letter are dropped. Characters that belong to words are kept, including the invisible joiners
of Persian, Hindi and Bengali.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

_INVISIBLE = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters that are not white space
    r"\x{ad}"  # soft hyphen
    r"\x{61c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}"  # direction marks
    r"\x{feff}]"  # byte order mark
)
_LETTER = r"\p{L}"


@dataclass(frozen=True, slots=True)
class Marks:
    """Editorial marks of a text, as regular expressions of the Rust `regex` crate, applied to the normalized text.

    Attributes:
        replaced: (pattern, replacement), applied in this order.
        placeholders: a sentence that matches one of these after the replacements has no text of its own and is dropped.
    """

    replaced: tuple[tuple[str, str], ...] = ()
    placeholders: tuple[str, ...] = ()


NO_MARKS = Marks()


def normalized(text: pl.Expr) -> pl.Expr:
    """Text without invisible control characters, in Unicode NFC, stripped, with single spaces; null becomes ''."""
    plain = text.fill_null("").str.replace_all(_INVISIBLE, "").str.normalize("NFC")
    return plain.str.replace_all(r"\s+", " ").str.strip_chars()


def has_letter(text: pl.Expr) -> pl.Expr:
    """Whether the text contains at least one letter of any script."""
    return text.str.contains(_LETTER)


def clean(sentences: pl.DataFrame, marks: Marks = NO_MARKS) -> tuple[pl.DataFrame, dict[str, int]]:
    """Clean the column `text` and drop rows without content.

    Returns:
        The remaining rows in their order, and the number of rows dropped as `placeholder` (a mark instead of a text) and as
        `empty` (no letter).
    """
    text = normalized(pl.col("text"))
    for pattern, replacement in marks.replaced:
        text = text.str.replace_all(pattern, replacement)
    if marks.replaced:
        text = normalized(text)
    cleaned = sentences.with_columns(text=text)
    letters = has_letter(pl.col("text"))
    placeholder = pl.col("text").str.contains("|".join(marks.placeholders)) if marks.placeholders else pl.lit(False)
    flags = cleaned.select(empty=~letters, placeholder=letters & placeholder)
    kept = cleaned.filter(~(flags["empty"] | flags["placeholder"]))
    return kept, {"placeholder": int(flags["placeholder"].sum()), "empty": int(flags["empty"].sum())}
