"""The score table that ends a run on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_provenance, read_table
from lexigraft.errors import ArtifactError
from lexigraft.evaluation.scores import ROW_KEYS, mean_intervals, score_table, score_text, with_intervals
from lexigraft.evaluation.seeds import has_seeds, seed_summary

Rows = list[dict[str, Any]]


def run_summary(folder: Path) -> str:
    """Score table of the run in `folder`, with its intervals, and where its report is.

    Raises:
        ArtifactError: the run has no scores yet, or a file is damaged.
    """
    scores, ranks, rows, seed = read_run(folder)
    table = score_table(scores, mean_intervals(scores, ranks, rows, seed=seed))
    return f"{table}\n\nreport: {folder / 'report.html'}"


def read_run(folder: Path) -> tuple[pl.DataFrame, list[Path], Rows, int]:
    """Scores of a run, its ranks files, what each of them is about, and the run's seed, of which the report draws as well.

    Raises:
        ArtifactError: the run has no scores yet, the table is damaged, or it does not say the seed.
    """
    path = folder / "scores.parquet"
    scores = read_table(path, "scores")
    seed = read_provenance(path)["seed"]
    if seed is None:
        raise ArtifactError("the scores do not say the run's seed", where=path, hint="run snakemake again: it makes them anew")
    rows = list(
        scores.filter(pl.col("metric").str.starts_with("top_"))
        .select(ROW_KEYS)
        .unique(maintain_order=True)
        .iter_rows(named=True)
    )
    ranks = [folder / "ranks" / row["task"] / f"{row['model']}-step-{row['step']}.parquet" for row in rows]
    return scores, ranks, rows, int(seed)


def markdown_table(folder: Path) -> str:
    """The run's scores as Markdown: a row a model; means over languages, by task and step, those of ranks with 95 % intervals.

    Where models differ in their seed only, a second table has a row for each family of them.
    """
    scores, ranks, rows, seed = read_run(folder)
    cells = {}
    for row in with_intervals(scores, mean_intervals(scores, ranks, rows, seed=seed)).iter_rows(named=True):
        interval = "" if row["low"] is None else f" ({row['low']:.1f}–{row['high']:.1f})"
        cells[row["model"], row["task"], row["step"]] = score_text(row["metric"], row["mean"]) + interval
    table = _markdown(cells)
    summary = seed_summary(scores)
    return f"{table}\n\n{_seed_table(summary)}" if has_seeds(summary) else table


def _seed_table(summary: pl.DataFrame) -> str:
    cells = {}
    for row in summary.iter_rows(named=True):
        mean, low, high = (score_text(row["metric"], row[key]) for key in ("mean", "low", "high"))
        cells[row["family"], row["task"], row["step"]] = mean + (f" ({low}–{high})" if row["seeds"] > 1 else "")
    seeds = " or ".join(map(str, summary["seeds"].unique().sort()))
    return f"Mean over seeds ({seeds} a model); in brackets the lowest and the highest:\n\n{_markdown(cells)}"


def _markdown(cells: Mapping[tuple[str, str, int], str]) -> str:
    """A row for each model, a column for each task and step."""
    columns = list(dict.fromkeys((task, step) for _, task, step in cells))
    lines = [["model", *(f"{task}, step {step}" for task, step in columns)], ["---"] * (len(columns) + 1)]
    for name in dict.fromkeys(name for name, _, _ in cells):
        lines.append([f"`{name}`", *(cells.get((name, task, step), "") for task, step in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
