"""Models that differ in their seed only, as one row of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from lexigraft.report.inputs import Model


def by_family(scores: pl.DataFrame, models: Mapping[str, Model]) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Scores with the seeds of a family averaged (n is that of one of them), and a model for each family under its name."""
    families = {name: model.family for name, model in models.items()}
    named = scores.with_columns(pl.col("model").replace_strict(families, return_dtype=pl.String))
    keys = ["model", "task", "language", "metric", "step"]
    averaged = named.group_by(keys, maintain_order=True).agg(pl.col("score").mean(), pl.col("n").max())
    return averaged, {model.family: replace(model, name=model.family) for model in models.values()}
