"""Sentences as flat arrays of tokens, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import InputError

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Tokens of sentences one after the other, without special ones.

    Attributes:
        tokens: (N,) ids.
        starts: (sentences + 1,) where each sentence begins.
        cut: (sentences,) tokens of each that were left out, as it is longer than is read.
        bytes: (sentences,) bytes of UTF-8 of what was read.
    """

    tokens: Integers
    starts: Integers
    cut: Integers
    bytes: Integers

    def __len__(self) -> int:
        return len(self.cut)

    @property
    def lengths(self) -> Integers:
        """(sentences,) tokens of each."""
        return np.diff(self.starts)


def encode_sentences(backend: Any, texts: Sequence[str], room: int) -> Sentences:
    """Tokenize sentences without special tokens and keep the first `room` tokens of each.

    Args:
        backend: a tokenizer of `tokenizers`, without truncation and padding.
        texts: sentences.
        room: tokens to keep.
    """
    encodings = backend.encode_batch(list(texts), add_special_tokens=False)
    ids = [encoding.ids[:room] for encoding in encodings]
    lengths = np.array([len(item) for item in ids], dtype=np.int64)
    cut = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64) - lengths
    # what was read ends with the last token that is kept; offsets count characters
    read = [
        text[: encoding.offsets[room - 1][1]] if left else text
        for text, encoding, left in zip(texts, encodings, cut, strict=True)
    ]
    return Sentences(
        tokens=np.array([token for item in ids for token in item], dtype=np.int64),
        starts=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        cut=cut,
        bytes=np.array([len(text.encode()) for text in read], dtype=np.int64),
    )


def ragged(counts: Integers) -> tuple[Integers, Integers]:
    """Row and place within the row of every item of rows that hold `counts` items."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)


def side_by_side(
    tokens: Integers, starts: Integers, lengths: Integers, before: Sequence[int], after: Sequence[int], pad: int, width: int = 0
) -> tuple[Integers, Integers]:
    """Rows of tokens with special ones around them, padded at their ends.

    Args:
        tokens: (N,) ids that the rows are taken from.
        starts, lengths: (B,) where each row's tokens begin, and how many they are.
        before, after: ids of special tokens.
        pad: id of the padding token.
        width: of the rows, special tokens included (that of the longest by default).

    Returns:
        ids and attention mask, (B, width) int64 both.
    """
    special = len(before) + len(after)
    width = width or int(lengths.max()) + special
    ids = np.full((len(lengths), width), pad, dtype=np.int64)
    ids[:, : len(before)] = list(before)
    row, column = ragged(lengths)
    ids[row, column + len(before)] = tokens[np.repeat(starts, lengths) + column]
    for place, token in enumerate(after):
        ids[np.arange(len(lengths)), len(before) + lengths + place] = token
    return ids, (np.arange(width) < (lengths + special)[:, None]).astype(np.int64)


def budget_batches(lengths: Integers, budget: int) -> list[Integers]:
    """Indices by falling length, cut so that (rows x longest) of a batch stays within `budget` tokens; a row at least."""
    order = np.argsort(-lengths, kind="stable")
    batches, first = [], 0
    while first < len(order):
        size = max(1, budget // max(int(lengths[order[first]]), 1))
        batches.append(order[first : first + size])
        first += size
    return batches


def special_tokens(backend: Any, sample: str) -> tuple[list[int], list[int]]:
    """Ids that a tokenizer puts before and after a text.

    Args:
        backend: a tokenizer of `tokenizers`.
        sample: a text of at least one token that is none of them, such as its unknown token.

    Raises:
        InputError: it does more than to put tokens before and after.
    """
    plain = backend.encode(sample, add_special_tokens=False).ids
    whole = backend.encode(sample, add_special_tokens=True).ids
    extra = len(whole) - len(plain)
    for place in range(extra + 1 if plain else 0):
        if whole[place : place + len(plain)] == plain:
            return whole[:place], whole[place + len(plain) :]
    raise InputError("the tokenizer changes text when it adds special tokens", hint="use another tokenizer")
