"""Hypernetworks in the report: their training, their best epochs, and their predictions compared with OFA's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.report.charts import Spec, hypernetwork_curves

BASELINE = "ofa"
"""What `quality.parquet` calls the rows that OFA's formula gives for the same tokens."""
_CURVES = {"loss": "Loss", "cosine": "Validation cosine", "l1": "Validation L1"}


@dataclass(frozen=True, slots=True)
class KeptEpoch:
    """The epoch whose weights were saved, with which the test split was measured.

    Attributes:
        name: of the network.
        epochs: how many there were.
        epoch: that one.
        loss, cosine, l1: on the validation split; None where not known.
    """

    name: str
    epochs: int
    epoch: int
    loss: float | None
    cosine: float | None
    l1: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """A network's predictions and OFA's rows for the same held-out source tokens, both against the true rows.

    Attributes:
        name: of the network.
        split: validation or test.
        tokens: how many.
        cosine, l1: (network, OFA); None where not known.
    """

    name: str
    split: str
    tokens: int
    cosine: tuple[float | None, float | None]
    l1: tuple[float | None, float | None]


def read_histories(paths: Mapping[str, Path]) -> pl.DataFrame:
    """name, epoch, split, loss, cosine, l1 (float64) of all histories; the networks of an ensemble get a number.

    Raises:
        ArtifactError: a history is missing or damaged.
    """
    parts = []
    for name, path in paths.items():
        history = read_table(path, "hypernetwork")
        label = pl.lit(name)
        if history["network"].n_unique() > 1:
            label = pl.format("{} ({})", pl.lit(name), pl.col("network") + 1)
        numbers = pl.col(list(_CURVES)).cast(pl.Float64).fill_nan(None)
        parts.append(history.select(label.alias("name"), "epoch", "split", numbers))
    return pl.concat(parts, how="vertical_relaxed")


def curves(history: pl.DataFrame) -> dict[str, tuple[Spec, str]]:
    """Charts and their titles: the loss of training and validation, cosine and L1 of validation alone."""
    found = {}
    for column, title in _CURVES.items():
        shown = history.filter(pl.col("split").is_in(["train", "validation"] if column == "loss" else ["validation"]))
        shown = shown.filter(pl.col(column).is_not_null())
        if not shown.is_empty():
            axis = title.removeprefix("Validation ").replace("Loss", "loss")
            found[column] = hypernetwork_curves(shown, column, axis), title
    return found


def kept_epochs(history: pl.DataFrame) -> list[KeptEpoch]:
    """One row per network that was tested, with its validation figures at that epoch."""
    kept = history.filter(pl.col("split") == "test").select("name", "epoch").unique("name", keep="first")
    validation = history.filter(pl.col("split") == "validation")
    best = kept.join(validation, on=["name", "epoch"], how="inner", maintain_order="left")
    last = history.group_by("name", maintain_order=True).agg(pl.col("epoch").max().alias("epochs"))
    both = last.join(best, on="name", how="inner", maintain_order="left")
    return [KeptEpoch(**row) for row in both.drop("split").iter_rows(named=True)]


def read_quality(paths: Mapping[str, Path]) -> list[Quality]:
    """One row per network and split, from `quality.parquet` of each network.

    Raises:
        ArtifactError: a table is missing or damaged.
    """
    found = []
    for name, path in paths.items():
        table = read_table(path, "hypernetwork", ["method", "split", "cosine", "l1", "tokens"])
        figures = table.with_columns(pl.col("cosine", "l1").cast(pl.Float64).fill_nan(None))
        for (split,), part in figures.group_by("split", maintain_order=True):
            row_of = {row["method"] == BASELINE: row for row in part.iter_rows(named=True)}
            cosine, l1 = ((row_of[False][column], row_of[True][column]) for column in ("cosine", "l1"))
            found.append(Quality(name, str(split), int(row_of[False]["tokens"]), cosine, l1))
    return found
