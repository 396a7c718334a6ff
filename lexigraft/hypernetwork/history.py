"""The loss history of a hypernetwork, one row an epoch and split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError

SPLITS = ("train", "validation", "test")
SCHEMA = pl.Schema(
    {
        "network": pl.Int32,
        "epoch": pl.Int32,
        "split": pl.String,
        "loss": pl.Float64,
        "contrastive": pl.Float64,
        "l1": pl.Float64,
        "cosine": pl.Float64,
        "learning_rate": pl.Float64,
    }
)


class History:
    """Rows are added as training goes on; `network` counts the networks of an ensemble."""

    def __init__(self, network: int = 0) -> None:
        self.network = network
        self.rows: list[dict[str, object]] = []

    def add(self, epoch: int, split: str, values: Mapping[str, float], learning_rate: float) -> None:
        """Add one measurement."""
        row = {"network": self.network, "epoch": epoch, "split": split, "learning_rate": learning_rate, **values}
        self.rows.append(row)

    def add_epoch(self, epoch: int, train: Mapping[str, float], validation: Mapping[str, float], learning_rate: float) -> None:
        """Add what was measured of both splits in an epoch.

        Raises:
            InputError: the validation loss is not finite.
        """
        self.add(epoch, "train", train, learning_rate)
        self.add(epoch, "validation", validation, learning_rate)
        if not np.isfinite(validation["loss"]):
            raise InputError(
                f"the validation loss of epoch {epoch} is {validation['loss']}", hint="use a smaller `learning_rate`"
            )

    def table(self) -> pl.DataFrame:
        """All rows as a table of `SCHEMA`."""
        return pl.DataFrame(self.rows, schema=SCHEMA)

    def kept_epoch(self) -> int:
        """The epoch whose weights were kept: the one that the test split was measured with."""
        return int(self.table().filter(pl.col("split") == "test")["epoch"][0])

    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, of equal ones the first."""
        validation = self.table().filter(pl.col("split") == "validation").sort("loss", "epoch")
        return int(validation["epoch"][0])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All columns as arrays, for a checkpoint."""
        numbers = self.table().with_columns(pl.col("split").replace_strict(SPLITS, range(len(SPLITS)), return_dtype=pl.Int8))
        return {f"history/{name}": numbers[name].to_numpy() for name in SCHEMA}

    @classmethod
    def restored(cls, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The history that `tensors` were made of."""
        columns = {name: np.asarray(tensors[f"history/{name}"]) for name in SCHEMA}
        history = cls(int(columns["network"][0]))
        table = pl.DataFrame({**columns, "split": [SPLITS[index] for index in columns["split"]]}, schema=SCHEMA)
        history.rows = table.to_dicts()
        return history
