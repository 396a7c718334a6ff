"""Models that differ in their seed only, summarized: the mean over seeds and the lowest and highest of them.

With the few seeds that a run has, the range says more than a standard deviation, and hides nothing.
"""

from __future__ import annotations

import polars as pl

from lexigraft.evaluation.scores import MEAN_DIGITS, mean_scores


def without_seed(model: str, seed: int) -> str:
    """Name of a model without its ending `-seed<n>`, by which models that differ in their seed only are one."""
    return model.removesuffix(f"-seed{seed}")


def seed_summary(scores: pl.DataFrame) -> pl.DataFrame:
    """Means over seeds of the means over languages, one row for each family of models, task and step.

    Args:
        scores: the table that `collect_scores` wrote.

    Returns:
        family str (`without_seed`), task str, step int64, metric str, seeds int64, mean, low, high float64 (percent: the mean,
        lowest and highest of the seeds; all the same where there is one), in the order of the scores.
    """
    return over_seeds(scores, mean_scores(scores))


def over_seeds(scores: pl.DataFrame, means: pl.DataFrame) -> pl.DataFrame:
    """Means of models (model, task, step, metric, mean) as means of their families; see `seed_summary`."""
    families = scores.select("model", "seed").unique(maintain_order=True)
    named = {model: without_seed(model, seed) for model, seed in families.iter_rows()}
    means = means.with_columns(pl.col("model").replace_strict(named, return_dtype=pl.String).alias("family"))
    return means.group_by("family", "task", "step", "metric", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("seeds"),
        pl.col("mean").mean().round(MEAN_DIGITS),
        pl.col("mean").min().alias("low"),
        pl.col("mean").max().alias("high"),
    )


def has_seeds(summary: pl.DataFrame) -> bool:
    """Whether a `seed_summary` sums anything up: some family has more than one seed."""
    return bool((summary["seeds"] > 1).any())
