"""Lists of different lengths as two arrays: all values, and where each list ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
import pyarrow.compute as pc
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """N lists of token ids.

    Attributes:
        values: (T,) int32, the lists one after the other.
        ends: (N,) int64, list i is `values[ends[i - 1] : ends[i]]` (from 0 for the first).
    """

    values: NDArray[np.int32]
    ends: Integers

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> Integers:
        """(N,) int64."""
        return np.diff(self.ends, prepend=0)

    def rows(self) -> Integers:
        """(T,) int64: the list that each value belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: Integers) -> Ragged:
        """The lists `rows`, in that order; one may be taken more than once."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        starts = self.ends[rows] - lengths
        return Ragged(self.values[np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())], ends)

    def tolist(self) -> list[list[int]]:
        """The lists as Python lists."""
        return [part.tolist() for part in np.split(self.values, self.ends[:-1])] if len(self) else []


def in_place(parts: list[tuple[Integers, Ragged]], count: int) -> Ragged:
    """`count` lists of which each part holds those at its rows; rows that no part has are empty."""
    lengths = np.zeros(count, dtype=np.int64)
    for rows, part in parts:
        lengths[rows] = part.lengths
    ends = np.cumsum(lengths)
    values = np.empty(lengths.sum(), dtype=np.int32)
    for rows, part in parts:
        starts = ends[rows] - part.lengths
        values[np.repeat(starts - (part.ends - part.lengths), part.lengths) + np.arange(len(part.values))] = part.values
    return Ragged(values, ends)


def distinct(strings: pl.Series) -> tuple[pl.Series, Integers]:
    """Distinct strings in the order in which they first come, and (N,) the number of each string among them."""
    encoded = pc.dictionary_encode(strings.to_arrow(compat_level=pl.CompatLevel.oldest()))
    # not `to_numpy`, which imports pandas where it is installed
    numbers = np.frombuffer(encoded.indices.buffers()[1], dtype=np.int32, count=len(encoded)).astype(np.int64)
    return cast(pl.Series, pl.from_arrow(encoded.dictionary)), numbers


def code_points(strings: pl.Series) -> tuple[NDArray[np.uint32], Integers]:
    """Code points of all strings, one string after the other, and where each ends: (C,) uint32, (N,) int64."""
    flat = np.frombuffer(joined(strings, "").encode("utf-32-le"), dtype=np.uint32)
    return flat, np.cumsum(strings.str.len_chars().to_numpy(), dtype=np.int64)


def joined(strings: pl.Series, separator: str) -> str:
    """All strings in one, made without a Python object for each."""
    return str(strings.str.join(separator).item()) if len(strings) else ""
