"""The score table that ends a run on the terminal."""

from __future__ import annotations

from pathlib import Path

from lexigraft.artifacts import read_table
from lexigraft.evaluation.scores import mean_intervals, score_table


def run_summary(folder: Path) -> str:
    """Score table of the run in `folder`, with its intervals, and where its report is.

    Raises:
        ArtifactError: the run has no scores yet, or a file is damaged.
    """
    scores = read_table(folder / "scores.parquet", "scores")
    rows = scores.select("run", "model", "method", "source", "target", "dim", "seed", "step", "task")
    rows = rows.unique(maintain_order=True)
    described = list(rows.iter_rows(named=True))
    ranks = [folder / "ranks" / row["task"] / f"{row['model']}-step-{row['step']}.parquet" for row in described]
    intervals = mean_intervals(ranks, described, seed=described[0]["seed"])
    return f"{score_table(scores, intervals)}\n\nreport: {folder / 'report.html'}"
