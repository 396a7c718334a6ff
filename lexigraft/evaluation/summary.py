"""The score table that ends a run on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.errors import InputError, nearest
from lexigraft.evaluation.scores import LOWER_IS_BETTER, MEAN, MEAN_DIGITS, headlines, score_table, score_text, with_intervals
from lexigraft.evaluation.seeds import has_seeds, over_seeds, seed_summary
from lexigraft.evaluation.statistics import BETTER, NO_DIFFERENCE

STAGE = "significance"
_MOST_VERDICTS = 60


def run_summary(folder: Path, tasks: Sequence[str] = ()) -> str:
    """Score table of the run in `folder`, with its intervals, what the tests show, and where its report is.

    Args:
        folder: of the run.
        tasks: to tell of (all by default).

    Raises:
        ArtifactError: the run has no scores yet, or a file is damaged.
        InputError: the run has no such task.
    """
    scores, intervals, comparisons = read_run(folder, tasks)
    parts = [score_table(scores, intervals), "\n".join(verdict_lines(comparisons)), f"report: {folder / 'report.html'}"]
    return "\n\n".join(filter(None, parts))


def read_run(folder: Path, tasks: Sequence[str] = ()) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Scores of a run, their intervals and the comparisons of its models, of some tasks or all; raises as `run_summary`."""
    scores = read_table(folder / "scores.parquet", "scores")
    there = scores["task"].unique(maintain_order=True).to_list()
    for task in tasks:
        if task not in there:
            raise InputError(f"no scores of a task {task!r}; {nearest(task, there)}", where=folder / "scores.parquet")
    tables = (scores, *(read_table(folder / f"{name}.parquet", STAGE) for name in ("intervals", "comparisons")))
    return tuple(table.filter(pl.col("task").is_in(list(tasks) or there)) for table in tables)  # type: ignore[return-value]


def markdown_table(folder: Path, tasks: Sequence[str] = ()) -> str:
    """The run's scores as Markdown: a row a model; means over languages, by task and step, with 95 % intervals.

    Where models differ in their seed only, a second table has a row for each family of them. What the tests
    show ends it. Arguments and errors are those of `run_summary`.
    """
    scores, intervals, comparisons = read_run(folder, tasks)
    cells = {}
    for row in with_intervals(scores, intervals).iter_rows(named=True):
        ends = "" if row["low"] is None else f" ({'–'.join(score_text(row['metric'], row[end]) for end in ('low', 'high'))})"
        cells[row["model"], row["task"], row["step"]] = score_text(row["metric"], row["mean"]) + ends
    parts = [_markdown(cells)]
    summary = seed_summary(scores)
    if has_seeds(summary):
        parts.append(_seed_table(summary))
    if verdicts := verdict_lines(comparisons):
        parts.append("\n".join(f"- {line}" for line in verdicts))
    return "\n\n".join(parts)


def chosen_table(folder: Path, languages: Sequence[str], metrics: Sequence[str], tasks: Sequence[str] = ()) -> str:
    """Means over some languages by some metrics as Markdown: a row a family of models, with the range over its seeds.

    Args:
        folder: of the run.
        languages: to average (those of each task by default).
        metrics: as `scores.parquet` names them (each task's headline by default).
        tasks: to tell of (all by default).

    Raises:
        InputError: no score is of such a language, metric or task.
        ArtifactError: the run has no scores yet, or the table is damaged.
    """
    path = folder / "scores.parquet"
    scores = read_table(path, "scores")
    for name, given in (("task", tasks), ("language", languages), ("metric", metrics)):
        there = scores[name].unique(maintain_order=True).to_list()
        for value in given:
            if value not in there:
                raise InputError(f"no score of the {name} {value!r}; {nearest(value, there)}", where=path)
        if name == "task" and tasks:
            scores = scores.filter(pl.col("task").is_in(list(tasks)))
    wanted = set(metrics) or set(headlines(scores).values())
    chosen = scores.filter(pl.col("metric").is_in(wanted), pl.lit(not languages) | pl.col("language").is_in(list(languages)))
    keys = ["model", "task", "step", "metric"]
    means = chosen.group_by(keys, maintain_order=True).agg(pl.col("score").mean().round(MEAN_DIGITS).alias("mean"))
    rows = list(over_seeds(chosen, means).iter_rows(named=True))
    places = dict.fromkeys((row["task"], row["step"], row["metric"]) for row in sorted(rows, key=itemgetter("step")))
    lines = [["model", *(f"{task}, {metric}, step {step}" for task, step, metric in places)], ["---"] * (len(places) + 1)]
    cells = {(row["family"], row["task"], row["step"], row["metric"]): _over_seeds(row) for row in rows}
    for family in dict.fromkeys(row["family"] for row in rows):
        lines.append([f"`{family}`", *(cells.get((family, *place), "") for place in places)])
    over = chosen.group_by("task", maintain_order=True).agg(pl.col("language").n_unique())
    counts = ", ".join(f"{task} {count}" for task, count in over.iter_rows())
    note = f"Means over languages ({counts}) and seeds; in brackets the lowest and the highest of the seeds."
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{note}"


def _over_seeds(row: Mapping[str, Any]) -> str:
    mean, low, high = (score_text(row["metric"], row[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low}–{high})" if row["seeds"] > 1 and low != high else mean


def verdict_lines(comparisons: pl.DataFrame) -> list[str]:
    """What every test of means says, a line each: better, worse or no difference shown, by how much, in how many languages."""
    by_language = comparisons.filter(pl.col("language") != MEAN)
    keys = ["task", "kind", "first", "first_step", "second", "second_step"]
    alike = by_language.group_by(keys).agg((pl.col("verdict") == BETTER).sum().alias("better_in"))
    means = comparisons.filter(pl.col("language") == MEAN).join(alike, on=keys, how="left", maintain_order="left")
    lines = [_verdict_line(row) for row in means.iter_rows(named=True)]
    rest = len(lines) - _MOST_VERDICTS
    return lines if rest <= 0 else [*lines[:_MOST_VERDICTS], f"… and {rest} more, in the report"]


def _verdict_line(row: Mapping[str, object]) -> str:
    metric, verdict = str(row["metric"]), row["verdict"]
    if row["kind"] == "steps":
        who, other = f"{row['first']} after {row['first_step']:,} steps", f"at step {row['second_step']:,}"
        place = str(row["task"])
    else:
        who, other = str(row["first"]), str(row["second"])
        place = f"{row['task']}, step {row['first_step']:,}"
    said = f"{who} and {other}: {NO_DIFFERENCE}" if verdict == NO_DIFFERENCE else f"{who} {verdict} than {other}"
    difference, low, high = (signed(metric, float(str(row[name]))) for name in ("difference", "low", "high"))
    languages = f"better in {row['better_in']} of {row['languages']} languages"
    lower = " (lower is better)" if metric in LOWER_IS_BETTER else ""
    return f"{place}: {said}, {difference} [{low}, {high}]{lower}, {p_text(float(str(row['p_adjusted'])))}; {languages}"


def signed(metric: str, value: float) -> str:
    """A difference as it is read, with its sign."""
    text = score_text(metric, value)
    return text if text.startswith("-") else f"+{text}"


def p_text(p_value: float) -> str:
    """A p-value as it is read."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _seed_table(summary: pl.DataFrame) -> str:
    cells = {}
    for row in summary.iter_rows(named=True):
        mean, low, high = (score_text(row["metric"], row[key]) for key in ("mean", "low", "high"))
        cells[row["family"], row["task"], row["step"]] = mean + (f" ({low}–{high})" if row["seeds"] > 1 else "")
    seeds = " or ".join(map(str, summary["seeds"].unique().sort()))
    return f"Mean over seeds ({seeds} a model); in brackets the lowest and the highest:\n\n{_markdown(cells)}"


def _markdown(cells: Mapping[tuple[str, str, int], str]) -> str:
    """A row for each model, a column for each task and step, tasks in their order and steps in theirs."""
    tasks = list(dict.fromkeys(task for _, task, _ in cells))
    columns = sorted({(task, step) for _, task, step in cells}, key=lambda column: (tasks.index(column[0]), column[1]))
    lines = [["model", *(f"{task}, step {step}" for task, step in columns)], ["---"] * (len(columns) + 1)]
    for name in dict.fromkeys(name for name, _, _ in cells):
        lines.append([f"`{name}`", *(cells.get((name, task, step), "") for task, step in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
