"""What every source of text offers to the corpus stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from lexigraft.corpora.cleaning import Marks

BLOCK_ROWS = 1 << 17
"""Sentences that are held in memory at once."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of one language's sentences, as they stand in the source.

    Attributes:
        sentences: columns sentence_id, text (both String; a null text is an empty one).
        dropped: reason -> number of sentences that the adapter left out itself (`empty`, `duplicate_ids`).
    """

    sentences: pl.DataFrame
    dropped: Mapping[str, int] = field(default_factory=dict)


class Adapter(Protocol):
    """A source of text. Its constructor checks the settings against what is there; reading comes later, block by block."""

    @property
    def languages(self) -> Sequence[str]:
        """Languages in the order of the settings."""

    def source(self, language: str) -> str:
        """Name of the translation, file or dataset that the language's text comes from."""

    def marks(self, language: str) -> Marks:
        """Editorial marks to remove from this text."""

    def blocks(self, language: str) -> Iterator[Block]:
        """The language's sentences, in blocks of about `BLOCK_ROWS`, ids unique within the language."""


def sentence_block(first: int, texts: Sequence[str | None] | pl.Series) -> Block:
    """A block whose ids are the numbers of the lines or rows, counted from 0; `first` is the number of the first one."""
    ids = pl.int_range(first, first + len(texts), eager=True).cast(pl.String)
    return Block(pl.DataFrame({"sentence_id": ids, "text": pl.Series(texts, dtype=pl.String)}))
