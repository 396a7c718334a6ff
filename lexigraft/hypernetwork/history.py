"""The loss history of a hypernetwork, one row per epoch and split."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from lexigraft.training.divergence import check_finite
from lexigraft.training.history import History

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
_TABLE = "history"


class EpochHistory(History):
    """Measurements of epochs; `network` is the number of the network in an ensemble."""

    def __init__(self, network: int = 0) -> None:
        super().__init__({_TABLE: pl.Schema({**dict(SCHEMA), "split": pl.Int8()})})
        self.network = network

    def add_split(self, epoch: int, split: str, measures: Mapping[str, float], learning_rate: float) -> None:
        """Add what was measured of a split."""
        row = {"network": self.network, "epoch": epoch, "split": SPLITS.index(split), "learning_rate": learning_rate}
        self.add(_TABLE, **row, **measures)

    def add_epoch(self, epoch: int, train: Mapping[str, float], validation: Mapping[str, float], learning_rate: float) -> None:
        """Add what was measured of both splits in an epoch.

        Raises:
            DivergedError: the validation loss is not finite.
        """
        self.add_split(epoch, "train", train, learning_rate)
        self.add_split(epoch, "validation", validation, learning_rate)
        what, hint = f"training of the hypernetwork diverged in epoch {epoch}", "use a smaller `learning_rate`"
        check_finite(what, hint, validation_loss=validation["loss"])

    def epochs(self) -> pl.DataFrame:
        """All rows as a table of `SCHEMA`."""
        names = pl.col("split").replace_strict(dict(enumerate(SPLITS)), return_dtype=pl.String)
        return self.table(_TABLE).with_columns(names)

    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, of equal ones the first."""
        validation = self.epochs().filter(pl.col("split") == "validation").sort("loss", "epoch")
        return int(validation["epoch"][0])

    def tested_epoch(self) -> int:
        """The epoch whose weights the test split was measured with: those of the result."""
        return int(self.epochs().filter(pl.col("split") == "test")["epoch"][0])
