"""What is noted of every optimizer step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

SCHEMA = pl.Schema(
    {"step": pl.Int64, "tokens": pl.Int64, "loss": pl.Float64, "learning_rate": pl.Float64, "gradient_norm": pl.Float64}
)
_PREFIX = "history/"


class History:
    """One row an optimizer step, from 1.

    Columns: step; tokens, seen so far, all positions of the sequences; loss, the mean over the effective batch's masked tokens,
    in nats; learning_rate, the encoder's; gradient_norm, before clipping, of all trained parameters.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {name: [] for name in SCHEMA}

    def add(self, **row: float) -> None:
        """Append a row, a value for every column."""
        for name, column in self._columns.items():
            column.append(row[name])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The columns as arrays, for a checkpoint."""
        return {_PREFIX + name: column.to_numpy() for name, column in self.table().to_dict().items()}

    def table(self) -> pl.DataFrame:
        """The table of all rows (`SCHEMA`)."""
        return pl.DataFrame(self._columns, schema=SCHEMA)

    @classmethod
    def restored(cls, tensors: Mapping[str, NDArray[Any]]) -> History:
        """The history that a checkpoint holds."""
        history = cls()
        history._columns = {name: np.asarray(tensors[_PREFIX + name]).tolist() for name in SCHEMA}
        return history
