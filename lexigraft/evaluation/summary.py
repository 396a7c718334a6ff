"""The score table that ends a run on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.evaluation.scores import ROW_KEYS, mean_intervals, score_table

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
    rows = list(scores.select(ROW_KEYS).unique(maintain_order=True).iter_rows(named=True))
    return scores, [folder / "ranks" / row["task"] / f"{row['model']}-step-{row['step']}.parquet" for row in rows], rows


def markdown_table(folder: Path) -> str:
    """The run's scores as a Markdown table: a row a model; means over languages with 95 % intervals, by task and step."""
    _, ranks, rows = read_run(folder)
    cells = {
        (row["model"], row["task"], row["step"]): f"{row['mean']:.1f} ({row['low']:.1f}–{row['high']:.1f})"
        for row in mean_intervals(ranks, rows, seed=rows[0]["seed"]).iter_rows(named=True)
    }
    columns = list(dict.fromkeys((task, step) for _, task, step in cells))
    lines = [["model", *(f"{task}, step {step}" for task, step in columns)], ["---"] * (len(columns) + 1)]
    for model in dict.fromkeys(model for model, _, _ in cells):
        lines.append([f"`{model}`", *(cells.get((model, task, step), "") for task, step in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
