"""Scores of all models of a run: one table of percentages, their means over languages, and how they are read.

A score of retrieval is the share of queries whose right sentence is among the k nearest (docs/methods.md, section 10). How sure
scores are is told by `significance`.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import InputError

log = logging.getLogger(__name__)

ROW_KEYS = ("run", "model", "method", "source", "target", "dim", "seed", "step", "task")
SCHEMA = pl.Schema(
    {key: pl.Int64 if key in ("seed", "step") else pl.String for key in ROW_KEYS}
    | {"language": pl.String, "metric": pl.String, "score": pl.Float64, "n": pl.Int64}
)
MEAN = "mean"
"""Stands for a language where a row of a table is about the mean over languages."""
_MEAN_KEYS = ["model", "task", "step", "metric"]
MEAN_DIGITS = 9
"""Means are rounded to so many digits, so that one mean made in two orders of summing is printed as one number."""
LOWER_IS_BETTER = frozenset({"bits_per_byte", "loss", "masked_perplexity", "pseudo_perplexity", "perplexity"})
"""Metrics of language modeling: no percentages, and the lowest score is the best one."""


def collect_scores(
    ranks: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    top_k: Mapping[str, Sequence[int]],
    out: Path,
    provenance: Provenance,
    more: Sequence[pl.DataFrame] = (),
    reciprocal: Container[str] = (),
) -> pl.DataFrame:
    """Write `scores.parquet`: for every ranks file, language and k, the percentage of queries with rank <= k.

    Args:
        ranks: ranks artifacts (see `read_ranks`).
        rows: what each file is about: `ROW_KEYS`.
        top_k: the values of k of each task; metrics are named `top_<k>`.
        out: path of the table; its columns are those of `SCHEMA`, rows in the order of `ranks`, languages, k.
        provenance: of the table.
        more: scores of other kinds of tasks, columns of `SCHEMA`; they come after those of the ranks.
        reciprocal: tasks whose ranks are all known, which get the metric `mrr` as well.

    Returns:
        The table.

    Raises:
        ValueError: `ranks` and `rows` do not fit each other, a row lacks a key, or a row is given twice.
        ArtifactError: a ranks file is missing or damaged.
        InputError: a ranks file has no queries, a query twice, or a rank below 1.
    """
    _check_rows(ranks, rows)
    if not (ranks or more) or not all(top_k.get(row["task"]) for row in rows):
        raise ValueError("no ranks files, or a task without a k, to make scores of")
    blocks = []
    for path, row in zip(ranks, rows, strict=True):
        table = read_ranks(path)
        scores = rank_scores(table, top_k[row["task"]], reciprocal=row["task"] in reciprocal)
        blocks.append(about(scores, row))
        count = (table["variant"] == "").sum()
        languages = scores["language"].n_unique()
        log.info("%s, step %s, %s: %d languages, %d queries", row["model"], row["step"], row["task"], languages, count)
    collected = pl.concat([*blocks, *more])
    write_table(out, collected, provenance)
    return collected


def rank_scores(table: pl.DataFrame, top_k: Sequence[int], *, reciprocal: bool) -> pl.DataFrame:
    """Percentages of ranks up to each k, by language: language, metric, score, n.

    Metrics are `top_<k>`, and `mrr`, the mean of 100 / rank, if `reciprocal`; those of a variant end with its name.
    """
    shares = [(pl.col("rank") <= k).fill_null(False).mean().mul(100.0).alias(f"top_{k}") for k in sorted(set(top_k))]
    if reciprocal:
        shares.append((100.0 / pl.col("rank")).mean().alias("mrr"))
    scores = table.group_by("language", "variant", maintain_order=True).agg(*shares, pl.len().cast(pl.Int64).alias("n"))
    scores = scores.unpivot(index=["language", "variant", "n"], variable_name="metric", value_name="score")
    order = {language: place for place, language in enumerate(scores["language"].unique(maintain_order=True))}
    variants = {variant: place for place, variant in enumerate(scores["variant"].unique(maintain_order=True))}
    places = [
        pl.col(name).replace_strict(of, return_dtype=pl.Int64) for name, of in (("language", order), ("variant", variants))
    ]
    suffix = pl.when(pl.col("variant") == "").then(pl.lit("")).otherwise("_" + pl.col("variant"))
    named = scores.sort(places, maintain_order=True).with_columns(metric=pl.col("metric") + suffix)
    return named.select("language", "metric", "score", "n")


def about(scores: pl.DataFrame, row: Mapping[str, Any]) -> pl.DataFrame:
    """Scores (language, metric, score, n) with what they are about, `ROW_KEYS`: the columns of `SCHEMA`."""
    return scores.with_columns(pl.lit(row[key], dtype=SCHEMA[key]).alias(key) for key in ROW_KEYS).select(SCHEMA.names())


def read_ranks(path: Path) -> pl.DataFrame:
    """Read a ranks artifact: language, variant, query_id, rank (1-based, null beyond what was looked for).

    Raises:
        ArtifactError: it is missing or damaged.
        InputError: it has no queries, a query twice, or a rank below 1.
    """
    table = read_table(path, "ranks", ["language", "variant", "query_id", "rank"])
    if table.is_empty():
        raise InputError("no queries were ranked", where=path, hint="the task's corpus has no held-out sentences to search")
    twice = table.filter(table.select("language", "variant", "query_id").is_duplicated())
    if not twice.is_empty():
        raise InputError(f"query {twice['query_id'][0]!r} of {twice['language'][0]} stands twice", where=path)
    lowest = table.select(pl.col("rank").min()).item()
    if lowest is not None and lowest < 1:
        raise InputError(f"rank {lowest} is below 1", where=path, hint="ranks count from 1")
    return table


def headline_metric(metrics: Iterable[str]) -> str:
    """The metric that stands for a task: `top_10` where there is one, else the largest k, else the first name."""
    names = list(metrics)
    by_k = sorted((int(name[4:]), name) for name in names if name.startswith("top_") and name[4:].isdecimal())
    return "top_10" if "top_10" in names else by_k[-1][1] if by_k else names[0]


def headlines(scores: pl.DataFrame) -> dict[str, str]:
    """The `headline_metric` of each task, tasks in their order."""
    return {
        str(task): headline_metric(table["metric"].unique(maintain_order=True))
        for (task,), table in scores.group_by("task", maintain_order=True)
    }


def best_score(metric: str, scores: Iterable[float]) -> float:
    """The highest of some scores, or the lowest by a metric of `LOWER_IS_BETTER`."""
    return min(scores) if metric in LOWER_IS_BETTER else max(scores)


def score_text(metric: str, score: float) -> str:
    """A score as it is read: percentages with one digit, the metrics of `LOWER_IS_BETTER` with three."""
    return f"{score:.3f}" if metric in LOWER_IS_BETTER else f"{score:.1f}"


def mean_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """Means over languages of each task's `headline_metric`: model, task, step, metric, mean, languages."""
    chosen = scores.filter(pl.col("metric") == pl.col("task").replace_strict(headlines(scores), return_dtype=pl.String))
    return chosen.group_by("model", "task", "step", "metric", maintain_order=True).agg(
        pl.col("score").mean().round(MEAN_DIGITS).alias("mean"), pl.len().alias("languages")
    )


def score_table(scores: pl.DataFrame, intervals: pl.DataFrame) -> str:
    """Plain-text table for the terminal: models x (task, step), the mean over languages and its 95 % interval.

    Args:
        scores: the table that `collect_scores` wrote.
        intervals: `intervals.parquet`.
    """
    means = with_intervals(scores, intervals)
    tasks = {task: place for place, task in enumerate(means["task"].unique(maintain_order=True))}
    columns = means.select("task", "metric", "step").unique().sort(pl.col("task").replace_strict(tasks), "step")
    models = means["model"].unique(maintain_order=True).to_list()
    cells = {(row["model"], row["task"], row["step"]): row for row in means.iter_rows(named=True)}
    best = {
        (task, step): best_score(metric, (row["mean"] for row in cells.values() if (row["task"], row["step"]) == (task, step)))
        for task, metric, step in columns.rows()
    }
    lines = [["model", *(f"{task} {metric.replace('_', '-')}" for task, metric, _ in columns.rows())]]
    lines.append(["", *(f"step {step}" for *_, step in columns.rows())])
    for model in models:
        row = [cells.get((model, task, step)) for task, _, step in columns.rows()]
        lines.append([model, *(_cell(cell, best) for cell in row)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    rule = "-" * max(map(len, text))
    counts = means.group_by("task", maintain_order=True).agg(pl.col("languages").max())
    over = ", ".join(f"{languages} ({task})" if len(counts) > 1 else str(languages) for task, languages in counts.rows())
    notes = [f"percent, mean over languages: {over}", "in brackets: 95 % interval, bootstrap over sentences"]
    if lower := [name for name in dict.fromkeys(columns["metric"]) if name in LOWER_IS_BETTER]:
        notes.append(f"no percentage, and lower is better: {', '.join(lower).replace('_', '-')}")
    return "\n".join([*text[:2], rule, *text[2:], rule, "; ".join([*notes, "* best of the column"])])


def with_intervals(scores: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """`mean_scores`, and low and high of their intervals, null where there are none."""
    means = intervals.filter(pl.col("language") == MEAN, pl.col("seeds") == 0).select(*_MEAN_KEYS, "low", "high")
    return mean_scores(scores).join(means, on=_MEAN_KEYS, how="left", maintain_order="left")


def _cell(cell: Mapping[str, Any] | None, best: Mapping[tuple[str, int], float]) -> str:
    if cell is None:
        return "-  "
    star = "*" if cell["mean"] == best[cell["task"], cell["step"]] else " "
    interval = "" if cell["low"] is None else f" [{cell['low']:4.1f}, {cell['high']:4.1f}]"
    return f"{score_text(cell['metric'], cell['mean'])}{star}{interval}"


def _check_rows(ranks: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> None:
    if len(ranks) != len(rows):
        raise ValueError(f"{len(ranks)} ranks files but {len(rows)} rows that say what they are about")
    seen = set()
    for row in rows:
        if missing := [key for key in ROW_KEYS if key not in row]:
            raise ValueError(f"row {dict(row)} lacks {', '.join(missing)}")
        key = (row["model"], row["task"], row["step"])
        if key in seen:
            raise ValueError(f"model {key[0]!r}, task {key[1]!r}, step {key[2]} is given twice")
        seen.add(key)
