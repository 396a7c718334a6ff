"""The vocabulary table of a tokenizer: one row per token id, in the form that every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import read_table

ROLES = ("bos", "eos", "pad", "unk", "mask")
SCHEMA = pl.Schema({"id": pl.Int32, "token": pl.String, "surface": pl.String, "role": pl.String, "count": pl.Int64})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id.

    Attributes:
        tokens: the strings of the tokenizer's own vocabulary.
        surfaces: standardized strings: a leading space marks the start of a word.
        roles: `bos` (also cls), `eos` (also sep), `pad`, `unk`, `mask`, `special` for other special tokens, None for text.
        counts: how often each token occurs in the corpus, (V,) int64; 0 where it was not counted.
    """

    tokens: tuple[str, ...]
    surfaces: tuple[str, ...]
    roles: tuple[str | None, ...]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_text(self) -> NDArray[np.bool_]:
        """(V,) bool: tokens of text, as opposed to tokens with a role."""
        return np.array([role is None for role in self.roles], dtype=bool)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a `vocabulary.parquet` of a source model or a target tokenizer.

    Raises:
        ArtifactError: see `artifacts.read_table`.
    """
    table = read_table(path, ("tokenizer", "source")).sort("id")
    return Vocabulary(
        tokens=tuple(table["token"].to_list()),
        surfaces=tuple(table["surface"].to_list()),
        roles=tuple(table["role"].to_list()),
        counts=table["count"].fill_null(0).to_numpy().astype(np.int64),
    )
