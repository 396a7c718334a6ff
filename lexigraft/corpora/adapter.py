"""The interface between sources of text and the corpus stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from lexigraft.corpora.cleaning import NO_MARKS, Marks

BLOCK_ROWS = 1 << 17
"""Number of sentences held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive sentences of one language, unchanged from the source.

    Attributes:
        sentences: columns sentence_id, text (both String; null means an empty text).
        dropped: reason -> number of sentences that the adapter itself dropped (`empty`, `duplicate_ids`).
    """

    sentences: pl.DataFrame
    dropped: Mapping[str, int] = field(default_factory=dict)


class Adapter(Protocol):
    """A source of text. The constructor checks the settings against the files; sentences are read later, block by block."""

    languages: Sequence[str]
    """In the order of the settings."""

    def source(self, language: str) -> str:
        """Name of the translation, file or dataset with the language's text."""

    def marks(self, language: str) -> Marks:  # noqa: ARG002
        """Editorial marks to remove from this text; by default none."""
        return NO_MARKS

    def blocks(self, language: str) -> Iterator[Block]:
        """The language's sentences, in blocks of about `BLOCK_ROWS`; ids are unique within the language."""


def sentence_block(first: int, texts: Sequence[str | None] | pl.Series) -> Block:
    """A block whose ids are line or row numbers, counted from 0; `first` is the number of the first sentence."""
    ids = pl.int_range(first, first + len(texts), eager=True).cast(pl.String)
    return Block(pl.DataFrame({"sentence_id": ids, "text": pl.Series(texts, dtype=pl.String)}))
