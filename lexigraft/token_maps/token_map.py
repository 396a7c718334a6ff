"""Token maps: which source tokens each target token is made of, and with which weights.

A map is made once from the evidence and applied to every table of the model: the embeddings, their coordinates F at any D', an
output table of its own. Tokens of which it says nothing are filled when it is applied (`origin`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

STAGE = "token_map"
COPIED, COMPUTED, MEAN, RANDOM = range(4)
ORIGINS = ("copied", "computed", "mean", "random")
"""How the row of a target token is made: copied from the source, computed from evidence, the mean row, or random."""
SCHEMA = pl.Schema({"target": pl.Int32, "source": pl.Int32, "weight": pl.Float32, "origin": pl.String})
"""One row per stored weight; a target token without weights has one row whose `source` and `weight` are null."""
_BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class TokenMap:
    """Mixing weights of source tokens, and the origin of every target token.

    Attributes:
        weights: A, (V_t, V_s) float32 CSR. Weights may be negative. The row of a target token in a table T is A T; an empty row
            is filled by `origin`, or by dense rows that a method adds.
        origin: (V_t,) int8, indices into `ORIGINS`.
    """

    weights: csr_matrix
    origin: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.origin)

    @property
    def copies(self) -> Integers:
        """(V_t,) the source token that each target token is copied from, -1 for none."""
        found = np.full(len(self), -1, dtype=np.int64)
        copied = np.flatnonzero(self.origin == COPIED)
        found[copied] = self.weights.indices[self.weights.indptr[copied]]
        return found

    @property
    def is_empty(self) -> NDArray[np.bool_]:
        """(V_t,) target tokens without any weight."""
        return np.asarray(np.diff(self.weights.indptr) == 0)

    def counts(self) -> dict[str, int]:
        """Number of target tokens of each origin; they add up to the vocabulary."""
        numbers = np.bincount(self.origin, minlength=len(ORIGINS))
        return dict(zip(ORIGINS, numbers.tolist(), strict=True))

    def apply(self, table: Floats) -> Floats:
        """A T, (V_t, n) float32, for a source table T, (V_s, n), which may be mapped from a file.

        Target rows are made in blocks, each from the source rows that it names; the rows of empty tokens are zero.
        """
        rows = np.empty((len(self), table.shape[1]), dtype=np.float32)
        for start in range(0, len(self), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            rows[part] = self.weights[part] @ table
        return rows


def token_map(copies: Integers, source_tokens: int, fallback: int, computed: Integers, rows: csr_matrix | None) -> TokenMap:
    """Build a map of copied and computed tokens; all others get a fallback.

    Args:
        copies: (V_t,) the source token that each target token is copied from, -1 for none.
        source_tokens: V_s.
        fallback: `MEAN` or `RANDOM`, the origin of all other tokens.
        computed: ids of target tokens that the method computes; such tokens are no copies.
        rows: (len(computed), V_s) their weights; None leaves them to the method's dense rows.
    """
    origin = np.where(copies >= 0, COPIED, fallback).astype(np.int8)
    origin[computed] = COMPUTED
    copied = np.flatnonzero(origin == COPIED)
    counts = np.zeros(len(copies), dtype=np.int64)
    counts[copied] = 1
    if rows is not None:
        counts[computed] = np.diff(rows.indptr)
    starts = np.concatenate([[0], np.cumsum(counts)])
    indices, data = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.float32)
    indices[starts[copied]], data[starts[copied]] = copies[copied], 1.0
    if rows is not None:
        places = np.arange(rows.nnz) + np.repeat(starts[computed] - rows.indptr[:-1], np.diff(rows.indptr))
        indices[places], data[places] = rows.indices, rows.data
    return TokenMap(csr_matrix((data, indices, starts), shape=(len(copies), source_tokens)), origin)


def map_table(found: TokenMap) -> pl.DataFrame:
    """The map as a table of `SCHEMA`, by target token; within a token in the order in which weights are summed."""
    lengths = np.maximum(np.diff(found.weights.indptr), 1)
    targets = np.repeat(np.arange(len(found)), lengths)
    filled = ~found.is_empty[targets]
    source, weight = np.zeros(len(targets), np.int32), np.zeros(len(targets), np.float32)
    source[filled], weight[filled] = found.weights.indices, found.weights.data
    given, origin = pl.lit(pl.Series(filled)), np.array(ORIGINS)[found.origin[targets]]
    table = pl.DataFrame({"target": targets, "source": source, "weight": weight, "origin": origin})
    return table.with_columns(pl.when(given).then(pl.col(name)).alias(name) for name in ("source", "weight")).cast(SCHEMA)


def write_token_map(path: Path, found: TokenMap, provenance: Provenance) -> None:
    """Write a map as `SCHEMA`; its provenance names the stage `token_map`."""
    write_table(path, map_table(found), provenance)


def read_token_map(path: Path, target_tokens: int, source_tokens: int, stage: str | Sequence[str] = STAGE) -> TokenMap:
    """Read what `write_token_map` wrote.

    Raises:
        ArtifactError: the file is damaged, or belongs to other vocabularies.
    """
    table = read_table(path, stage)
    targets, given = table["target"].to_numpy(), table["source"].is_not_null().to_numpy()
    first = np.flatnonzero(np.diff(targets, prepend=-1))
    sources = table["source"].fill_null(0).to_numpy()[given]
    if not np.array_equal(targets[first], np.arange(target_tokens)) or (sources >= source_tokens).any():
        raise ArtifactError(
            f"the token map is not one of {target_tokens} target and {source_tokens} source tokens",
            where=path,
            hint="delete the file and run snakemake again",
        )
    counts = np.bincount(targets[given], minlength=target_tokens)
    weights = csr_matrix(
        (table["weight"].to_numpy()[given].astype(np.float32), sources, np.concatenate([[0], np.cumsum(counts)])),
        shape=(target_tokens, source_tokens),
    )
    places = {name: place for place, name in enumerate(ORIGINS)}
    origin = table["origin"].gather(first).replace_strict(places, return_dtype=pl.Int8)
    return TokenMap(weights, origin.to_numpy())
