"""Models that differ in their seed only are one row of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from lexigraft.report.inputs import Model


def by_seed_group(scores: pl.DataFrame, models: Mapping[str, Model]) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Scores averaged over the seeds of each group (n is that of one of them), and for each group a model of its name."""
    groups = {name: model.seed_group for name, model in models.items()}
    named = scores.with_columns(pl.col("model").replace_strict(groups, return_dtype=pl.String))
    keys = ["model", "task", "language", "metric", "step", "unit", "headline", "lower_is_better"]
    averaged = named.group_by(keys, maintain_order=True).agg(pl.col("score").mean(), pl.col("n").max())
    return averaged, {model.seed_group: replace(model, name=model.seed_group) for model in models.values()}
