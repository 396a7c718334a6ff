"""The score table of a run, its means over languages and over seeds, and how scores are written as text.

A score is a function of sums over sentences (`tasks.Metric`), whatever the kind of task. How sure scores are: `significance`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.evaluation.tasks import Metric, Task

log = logging.getLogger(__name__)

Rows = Sequence[Mapping[str, Any]]
ROW_KEYS = ("run", "model", "method", "source", "target", "dim", "seed", "step", "task")
_MEASURED = pl.Schema(
    {"language": pl.String, "metric": pl.String, "score": pl.Float64, "n": pl.Int64, "unit": pl.String}
    | dict.fromkeys(("headline", "lower_is_better"), pl.Boolean)
)
SCHEMA = pl.Schema({key: pl.Int64 if key in ("seed", "step") else pl.String for key in ROW_KEYS} | dict(_MEASURED))
"""`ROW_KEYS` say what a score is about. `n` is its sample size, counted in `unit`; `headline` marks the metric of a task that
stands for it; scores are percentages unless `lower_is_better`."""
MEAN = "mean"
"""Stands for a language where a row of a table is about the mean over languages."""
MEAN_DIGITS = 9
"""Means are rounded to so many digits, so that one mean made in two orders of summing is printed as one number."""


def write_scores(
    tasks: Mapping[str, Task], rows: Rows, files: Sequence[Sequence[Path]], out: Path, provenance: Provenance
) -> pl.DataFrame:
    """Write `scores.parquet`, `SCHEMA`: every metric of every model and step in every language.

    Args:
        tasks: by name.
        rows: `ROW_KEYS` of each task, model and step.
        files: the result files of each row.
        out: path of the table.
        provenance: of the table.

    Returns:
        The table, in the order of the rows, their languages and metrics.

    Raises:
        ArtifactError: a result file is missing or damaged.
        InputError: see the `read` of each kind of task.
    """
    tables = [SCHEMA.to_frame()]
    for row, paths in zip(rows, files, strict=True):
        measured = task_scores(tasks[row["task"]], paths)
        keys = (pl.lit(row[key], dtype=SCHEMA[key]).alias(key) for key in ROW_KEYS)
        tables.append(measured.with_columns(keys).select(SCHEMA.names()))
        log.info("%s, step %s, %s: %d languages", row["model"], row["step"], row["task"], measured["language"].n_unique())
    collected = pl.concat(tables)
    write_table(out, collected, provenance)
    return collected


def task_scores(task: Task, paths: Sequence[Path]) -> pl.DataFrame:
    """Scores of a model at a step: the columns of `SCHEMA` without `ROW_KEYS`.

    Scores are means over the files; of several files `<metric>_deviation` are standard deviations (of a sample), in the end.
    """
    tables = [language_scores(*task.read(path)) for path in paths]
    grouped = pl.concat(tables).group_by("language", "metric", maintain_order=True)
    same = [pl.col(name).first() for name in ("n", "unit", "lower_is_better")]
    found = grouped.agg(pl.col("score").mean(), *same).with_columns(headline=pl.col("metric") == task.headline_metric())
    if len(paths) > 1:
        spread = grouped.agg(pl.col("score").std(), *same, headline=pl.lit(False))
        found = pl.concat([found, spread.with_columns(pl.col("metric") + "_deviation")], how="diagonal")
    return found.select(_MEASURED.names())


def language_scores(table: pl.DataFrame, metrics: Mapping[str, Metric]) -> pl.DataFrame:
    """Scores of one result file in each language: language, metric, score, n, unit, lower_is_better.

    Args:
        table, metrics: what `Task.read` returns.
    """
    columns = dict.fromkeys(name for metric in metrics.values() for name in (*metric.columns, metric.size))
    sums = table.group_by("language", maintain_order=True).agg(pl.col(list(columns)).cast(pl.Float64).sum())
    sums = sums.with_row_index("place")
    parts = [
        sums.select(
            "place",
            "language",
            pl.lit(name).alias("metric"),
            pl.Series("score", np.nan_to_num(metric.of(sums.select(metric.columns).to_numpy()), nan=metric.undefined)),
            pl.col(metric.size).cast(pl.Int64).alias("n"),
            pl.lit(metric.unit).alias("unit"),
            pl.lit(metric.lower_is_better).alias("lower_is_better"),
        )
        for name, metric in metrics.items()
    ]
    return pl.concat(parts).sort("place", maintain_order=True).drop("place")


def score_text(score: float, lower_is_better: bool) -> str:
    """A score as text: percentages with one digit, others, of which lower is better, with three."""
    return f"{score:.3f}" if lower_is_better else f"{score:.1f}"


def mean_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """Means over languages of each task's headline: model, task, step, metric, lower_is_better, mean, languages."""
    keys = ["model", "task", "step", "metric", "lower_is_better"]
    return (
        scores.filter("headline")
        .group_by(keys, maintain_order=True)
        .agg(pl.col("score").mean().round(MEAN_DIGITS).alias("mean"), pl.len().alias("languages"))
    )


def with_intervals(scores: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """`mean_scores`, and low and high of their intervals, null where there are none."""
    keys = ["model", "task", "step", "metric"]
    means = intervals.filter(pl.col("language") == MEAN, pl.col("seeds") == 0).select(*keys, "low", "high")
    return mean_scores(scores).join(means, on=keys, how="left", maintain_order="left")


def without_seed(model: str, seed: int) -> str:
    """Name of a model without its ending `-seed<n>`: that of its seed group, the models that differ in their seed only."""
    return model.removesuffix(f"-seed{seed}")


def seed_summary(scores: pl.DataFrame) -> pl.DataFrame:
    """Means over seeds of the means over languages, one row for each seed group, task and step; see `over_seeds`."""
    return over_seeds(scores, mean_scores(scores))


def over_seeds(scores: pl.DataFrame, means: pl.DataFrame) -> pl.DataFrame:
    """Means, lowest and highest over the seeds of each group. With the few seeds of a run these say more than a deviation.

    Args:
        scores: the table that `write_scores` wrote.
        means: of models: model, task, step, metric, lower_is_better, mean.

    Returns:
        seed_group str, task str, step int64, metric str, lower_is_better bool, seeds int64, mean, low, high float64, in the
        order of the scores.
    """
    models = scores.select("model", "seed").unique(maintain_order=True)
    named = {model: without_seed(model, seed) for model, seed in models.iter_rows()}
    means = means.with_columns(pl.col("model").replace_strict(named, return_dtype=pl.String).alias("seed_group"))
    return means.group_by("seed_group", "task", "step", "metric", "lower_is_better", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("seeds"),
        pl.col("mean").mean().round(MEAN_DIGITS),
        pl.col("mean").min().alias("low"),
        pl.col("mean").max().alias("high"),
    )
