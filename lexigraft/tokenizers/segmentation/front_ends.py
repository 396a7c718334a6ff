"""Splitting many texts into pre-tokens, the stretches that a tokenizer's model segments, with arrays.

Each front end does what one kind of pre-tokenizer of `tokenizers` does for the texts where that is simple, and says which
these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.tokenizers.segmentation.joined import SEPARATOR, cut, stretches
from lexigraft.tokenizers.segmentation.ragged import Integers, code_points, slices, utf8
from lexigraft.tokenizers.surfaces import METASPACE, bytes_by_character

_CODE_POINTS = 0x110000
# letters but those that a normalizer could take for marks on the space: property Grapheme_Cluster_Break, Unicode Annex 29
_SPACE_FIRST = r"^ [\p{L}\p{N}--[\x{E33}\x{EB3}\x{FF9E}\x{FF9F}]]"
_UNSEEN, _LETTER, _NUMBER, _OTHER, _SPACE = range(5)


@dataclass(frozen=True, slots=True)
class PreTokens:
    """Pre-tokens of the texts that are simple.

    Attributes:
        simple: (N,) bool.
        texts: (P,) int64, the text of each pre-token, not falling.
        strings: (P,) the pre-tokens, in the order of the text.
    """

    simple: NDArray[np.bool_]
    texts: Integers
    strings: pl.Series


class FrontEnd(Protocol):
    """A pre-tokenizer."""

    def split(self, texts: pl.Series) -> PreTokens:
        """Split normalized texts."""

    def spelled(self, strings: pl.Series) -> Iterator[str]:
        """Pre-tokens as the model spells them, in stretches with a separator after each."""

    def canonical(self, texts: pl.Series) -> pl.Series:
        """Texts in one spelling where several are segmented in the same way; texts must hold no added token."""


def front_end(description: dict[str, Any] | None) -> FrontEnd | None:
    """The front end for a pre-tokenizer that is described as in `tokenizer.json`; None if there is none for its kind."""
    if description is None:
        return None
    parts = description["pretokenizers"] if description["type"] == "Sequence" else [description]
    kinds = [part["type"] for part in parts]
    if kinds == ["ByteLevel"] and parts[0]["use_regex"]:
        return ByteLevel(parts[0]["add_prefix_space"])
    if kinds[-1:] == ["Metaspace"] and kinds[:-1] in ([], ["WhitespaceSplit"]):
        last = parts[-1]
        if last["replacement"] == METASPACE and last["prepend_scheme"] == "always" and last["split"]:
            return Metaspace(words_only=len(parts) > 1)
    return None


class Metaspace:
    """A space becomes `▁`, which begins a pre-token; a text without one at its start gets one. Simple: a single pre-token."""

    def __init__(self, words_only: bool) -> None:
        """Say whether texts are split at white space first, which then is lost."""
        self._words_only = words_only

    def split(self, texts: pl.Series) -> PreTokens:
        if self._words_only:
            texts = texts.str.strip_chars()
            simple = (texts != "") & ~texts.str.contains(rf"[\s{METASPACE}]")
            marked = METASPACE + texts
        else:
            # on a text of nothing the pre-tokenizer is not run
            marked = texts.str.replace_all(" ", METASPACE, literal=True)
            frame = pl.DataFrame({"text": marked})
            begun = pl.when(pl.col("text").str.starts_with(METASPACE)).then("text").otherwise(METASPACE + pl.col("text"))
            marked = frame.select(begun).to_series()
            simple = (texts != "") & ~marked.str.slice(1).str.contains(METASPACE, literal=True)
        return PreTokens(simple.to_numpy(), simple.arg_true().to_numpy().astype(np.int64), marked.filter(simple))

    def spelled(self, strings: pl.Series) -> Iterator[str]:
        return stretches(strings)

    def canonical(self, texts: pl.Series) -> pl.Series:
        """A space before a letter or number is dropped: it would become the `▁` that begins a text anyway."""
        dropped = pl.when(pl.col("text").str.contains(_SPACE_FIRST)).then(pl.col("text").str.slice(1)).otherwise("text")
        return pl.DataFrame({"text": texts}).select(dropped).to_series()


class ByteLevel:
    """GPT-2's expression: runs of letters, of numbers and of other characters, each with a space that stands before it.

    Pre-tokens are kept as text; the model is given one character for each of their bytes. Simple: no apostrophe, which may
    begin an English ending, and no white space but one space at the start of a text.
    """

    def __init__(self, add_prefix_space: bool) -> None:
        """Say whether a text that begins with no space gets one."""
        self._add_prefix_space = add_prefix_space
        self._classes = np.zeros(_CODE_POINTS, dtype=np.uint8)
        self._of_byte = np.zeros(256, dtype=np.uint32)
        self._of_byte[list(bytes_by_character().values())] = [ord(character) for character in bytes_by_character()]

    def split(self, texts: pl.Series) -> PreTokens:
        if self._add_prefix_space:
            frame = pl.DataFrame({"text": texts})
            begun = pl.when(pl.col("text").str.starts_with(" ")).then("text").otherwise(" " + pl.col("text"))
            texts = frame.select(begun).to_series()
        simple = (texts.str.strip_prefix(" ") != "") & ~texts.str.contains("'", literal=True)
        points, ends = code_points(texts)
        classes = self._classes_of(points)
        lengths = np.diff(ends, prepend=0)
        rows, starts = np.repeat(np.arange(len(texts)), lengths), ends - lengths
        first = np.zeros(len(points), dtype=bool)
        first[starts[lengths > 0]] = True
        leading = first & (points == ord(" "))
        plain = simple.to_numpy() & (np.bincount(rows[(classes == _SPACE) & ~leading], minlength=len(texts)) == 0)
        begins = first.copy()
        begins[1:] |= (classes[1:] != classes[:-1]) & ~leading[:-1]
        kept = plain[rows]
        begins &= kept
        # each character is a byte or more: pre-tokens are slices of the text's own bytes
        widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
        offsets = np.cumsum(widths[kept])
        stops = np.append(np.flatnonzero(begins[kept])[1:], len(offsets)) - 1
        data, _ = utf8(texts.filter(pl.Series(plain)))
        strings = slices(data, offsets[stops] if len(offsets) else np.zeros(0, dtype=np.int64))
        return PreTokens(plain, rows[begins], strings)

    def canonical(self, texts: pl.Series) -> pl.Series:
        return texts

    def spelled(self, strings: pl.Series) -> Iterator[str]:
        data, ends = utf8(strings)
        spelled = np.full(len(data) + len(ends), ord(SEPARATOR), dtype=np.uint32)
        spelled[np.arange(len(data)) + np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))] = self._of_byte[data]
        return cut(spelled.tobytes().decode("utf-32-le"), ends + np.arange(1, len(ends) + 1))

    def _classes_of(self, points: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """The class of each character, asked of the pre-tokenizer itself: what it does not part from a letter is one."""
        from tokenizers.pre_tokenizers import ByteLevel as RustByteLevel

        split = RustByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str
        classes = self._classes[points]
        for point in np.unique(points[classes == _UNSEEN]).tolist():
            alike = (kind for kind, one in ((_LETTER, "a"), (_NUMBER, "1"), (_OTHER, "#")) if len(split(one + chr(point))) == 1)
            self._classes[point] = next(alike, _SPACE)
        return self._classes[points]
