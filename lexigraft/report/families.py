"""Models that differ in their seed only, as one row of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from lexigraft.evaluation.scores import LOWER_IS_BETTER
from lexigraft.evaluation.seeds import has_seeds, seed_summary
from lexigraft.report.inputs import Model
from lexigraft.report.tables import Column


@dataclass(frozen=True, slots=True)
class SeedCell:
    """Mean over seeds of a family of models, with the lowest and the highest of them."""

    mean: float
    low: float
    high: float
    best: bool


@dataclass(frozen=True, slots=True)
class SeedTable:
    """Families of models that differ in their seed only x columns of the score table.

    Attributes:
        families: name without the seed -> number of seeds.
        first: family -> its first model.
        cells: (family, column) -> cell.
    """

    families: dict[str, int]
    first: dict[str, str]
    cells: dict[tuple[str, Column], SeedCell]

    def leader(self, column: Column) -> tuple[str, SeedCell]:
        """The best family of a column."""
        return next((family, cell) for (family, place), cell in self.cells.items() if place == column and cell.best)


def seed_table(scores: pl.DataFrame, models: Mapping[str, Model]) -> SeedTable | None:
    """Means over seeds of the score table's columns; None where no two models differ in their seed only."""
    summary = seed_summary(scores)
    if not has_seeds(summary):
        return None
    lower, mean = pl.col("metric").is_in(list(LOWER_IS_BETTER)), pl.col("mean")
    best = mean == pl.when(lower).then(mean.min().over("task", "step")).otherwise(mean.max().over("task", "step"))
    cells, seeds = {}, dict.fromkeys((model.family for model in models.values()), 1)
    for row in summary.with_columns(best.alias("best")).iter_rows(named=True):
        column = Column(row["task"], row["metric"], row["step"])
        cells[row["family"], column] = SeedCell(row["mean"], row["low"], row["high"], row["best"])
        seeds[row["family"]] = max(seeds[row["family"]], row["seeds"])
    first = {model.family: name for name, model in reversed(list(models.items()))}
    return SeedTable(seeds, first, cells)


def by_family(scores: pl.DataFrame, models: Mapping[str, Model]) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Scores with the seeds of a family averaged (n is that of one of them), and a model for each family under its name."""
    families = {name: model.family for name, model in models.items()}
    named = scores.with_columns(pl.col("model").replace_strict(families, return_dtype=pl.String))
    keys = ["model", "task", "language", "metric", "step"]
    averaged = named.group_by(keys, maintain_order=True).agg(pl.col("score").mean(), pl.col("n").max())
    return averaged, {model.family: replace(model, name=model.family) for model in models.values()}
