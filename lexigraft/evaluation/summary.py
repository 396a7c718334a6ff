"""The score table that ends a run on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.evaluation.scores import ROW_KEYS, mean_intervals, score_table
from lexigraft.evaluation.seeds import has_seeds, seed_summary

Rows = list[dict[str, Any]]


def run_summary(folder: Path) -> str:
    """Score table of the run in `folder`, with its intervals, and where its report is.

    Raises:
        ArtifactError: the run has no scores yet, or a file is damaged.
    """
    scores, ranks, rows = read_run(folder)
    intervals = mean_intervals(ranks, rows, seed=rows[0]["seed"])
    return f"{score_table(scores, intervals)}\n\nreport: {folder / 'report.html'}"


def read_run(folder: Path) -> tuple[pl.DataFrame, list[Path], Rows]:
    """Scores of a run, its ranks files, and what each of them is about."""
    scores = read_table(folder / "scores.parquet", "scores")
    rows = list(
        scores.filter(pl.col("metric").str.starts_with("top_"))
        .select(ROW_KEYS)
        .unique(maintain_order=True)
        .iter_rows(named=True)
    )
    return scores, [folder / "ranks" / row["task"] / f"{row['model']}-step-{row['step']}.parquet" for row in rows], rows


def markdown_table(folder: Path) -> str:
    """The run's scores as Markdown: a row a model; means over languages with 95 % intervals, by task and step.

    Where models differ in their seed only, a second table has a row for each family of them.
    """
    scores, ranks, rows = read_run(folder)
    cells = {
        (row["model"], row["task"], row["step"]): f"{row['mean']:.1f} ({row['low']:.1f}–{row['high']:.1f})"
        for row in mean_intervals(ranks, rows, seed=rows[0]["seed"]).iter_rows(named=True)
    }
    table = _markdown(cells)
    summary = seed_summary(scores)
    return f"{table}\n\n{_seed_table(summary)}" if has_seeds(summary) else table


def _seed_table(summary: pl.DataFrame) -> str:
    cells = {}
    for row in summary.iter_rows(named=True):
        spread = f" ({row['low']:.1f}–{row['high']:.1f})" if row["seeds"] > 1 else ""
        cells[row["family"], row["task"], row["step"]] = f"{row['mean']:.1f}{spread}"
    seeds = " or ".join(map(str, summary["seeds"].unique().sort()))
    return f"Mean over seeds ({seeds} a model); in brackets the lowest and the highest:\n\n{_markdown(cells)}"


def _markdown(cells: Mapping[tuple[str, str, int], str]) -> str:
    """A row for each model, a column for each task and step."""
    columns = list(dict.fromkeys((task, step) for _, task, step in cells))
    lines = [["model", *(f"{task}, step {step}" for task, step in columns)], ["---"] * (len(columns) + 1)]
    for name in dict.fromkeys(name for name, _, _ in cells):
        lines.append([f"`{name}`", *(cells.get((name, task, step), "") for task, step in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
