"""The scores of a run as text: the table that ends a run on the terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.errors import InputError, nearest
from lexigraft.evaluation.scores import MEAN, MEAN_DIGITS, over_seeds, score_text, seed_summary, with_intervals
from lexigraft.evaluation.statistics import BETTER, NO_DIFFERENCE

STAGE = "significance"
_MOST_VERDICTS = 60


def run_summary(folder: Path, tasks: Sequence[str] = ()) -> str:
    """Score table of the run in `folder`, with its intervals, what the tests show, and where its report is.

    Args:
        folder: of the run.
        tasks: to show (all by default).

    Raises:
        ArtifactError: the run has no scores yet, or a file is damaged.
        InputError: the run has no such task.
    """
    scores, intervals, comparisons = read_run(folder, tasks)
    verdicts = "\n".join(verdict_lines(comparisons, scores))
    parts = [score_table(scores, intervals), verdicts, f"report: {folder / 'report.html'}"]
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


def score_table(scores: pl.DataFrame, intervals: pl.DataFrame) -> str:
    """Plain-text table for the terminal: models x (task, step), the mean over languages and its 95 % interval.

    Args:
        scores: `scores.parquet`.
        intervals: `intervals.parquet`.
    """
    means = with_intervals(scores, intervals)
    tasks = {task: place for place, task in enumerate(means["task"].unique(maintain_order=True))}
    keys = ["task", "metric", "step", "lower_is_better"]
    columns = means.select(keys).unique().sort(pl.col("task").replace_strict(tasks), "step").rows()
    cells = {(row["model"], row["task"], row["step"]): row for row in means.iter_rows(named=True)}
    lines = [["model", *(f"{task} {metric.replace('_', '-')}" for task, metric, *_ in columns)]]
    lines += [["", *(f"step {step}" for _, _, step, _ in columns)]]
    lines += [[model] for model in means["model"].unique(maintain_order=True)]
    for task, _, step, lower in columns:
        column = [cells.get((model, task, step)) for (model, *_) in lines[2:]]
        known = [cell["mean"] for cell in column if cell]
        best = min(known) if lower else max(known)
        for line, cell in zip(lines[2:], column, strict=True):
            line.append(_cell(cell, best))
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    rule = "-" * max(map(len, text))
    counts = means.group_by("task", maintain_order=True).agg(pl.col("languages").max())
    over = ", ".join(f"{languages} ({task})" if len(counts) > 1 else str(languages) for task, languages in counts.rows())
    notes = [f"percent, mean over languages: {over}", "in brackets: 95 % interval, bootstrap over sentences"]
    if lower_metrics := list(dict.fromkeys(metric for _, metric, _, lower in columns if lower)):
        notes.append(f"no percentage, and lower is better: {', '.join(lower_metrics).replace('_', '-')}")
    return "\n".join([*text[:2], rule, *text[2:], rule, "; ".join([*notes, "* best of the column"])])


def _cell(cell: Mapping[str, Any] | None, best: float) -> str:
    if cell is None:
        return "-  "
    star = "*" if cell["mean"] == best else " "
    interval = "" if cell["low"] is None else f" [{cell['low']:4.1f}, {cell['high']:4.1f}]"
    return f"{score_text(cell['mean'], cell['lower_is_better'])}{star}{interval}"


def markdown_table(folder: Path, tasks: Sequence[str] = ()) -> str:
    """The run's scores as Markdown: a row per model; means over languages, by task and step, with 95 % intervals.

    Where models differ in their seed only, a second table has a row for each seed group. What the tests show ends it.
    Arguments and errors are those of `run_summary`.
    """
    scores, intervals, comparisons = read_run(folder, tasks)
    tasks_there = scores["task"].unique(maintain_order=True).to_list()

    def table(means: pl.DataFrame) -> str:
        rows = means.to_dicts()
        columns = sorted(rows, key=lambda row: (tasks_there.index(row["task"]), row["step"]))
        return _markdown(rows, "{task}, step {step}", columns)

    parts = [table(with_intervals(scores, intervals).rename({"model": "name"}))]
    summary = seed_summary(scores)
    if (summary["seeds"] > 1).any():
        seeds = " or ".join(map(str, summary["seeds"].unique().sort()))
        parts.append(f"Mean over seeds ({seeds} per model); in brackets the lowest and the highest:")
        parts.append(table(_ranges(summary)))
    if verdicts := verdict_lines(comparisons, scores):
        parts.append("\n".join(f"- {line}" for line in verdicts))
    return "\n\n".join(parts)


def chosen_table(folder: Path, languages: Sequence[str], metrics: Sequence[str], tasks: Sequence[str] = ()) -> str:
    """Means over some languages by some metrics as Markdown: a row per seed group, with the range over its seeds.

    Args:
        folder: of the run.
        languages: to average (those of each task by default).
        metrics: as `scores.parquet` names them (each task's headline by default).
        tasks: to show (all by default).

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
    wanted = pl.col("metric").is_in(list(metrics) or scores.filter("headline")["metric"].unique().to_list())
    chosen = scores.filter(wanted, pl.lit(not languages) | pl.col("language").is_in(list(languages)))
    keys = ["model", "task", "step", "metric", "lower_is_better"]
    means = chosen.group_by(keys, maintain_order=True).agg(pl.col("score").mean().round(MEAN_DIGITS).alias("mean"))
    rows = _ranges(over_seeds(chosen, means)).to_dicts()
    table = _markdown(rows, "{task}, {metric}, step {step}", sorted(rows, key=itemgetter("step")))
    over = chosen.group_by("task", maintain_order=True).agg(pl.col("language").n_unique())
    counts = ", ".join(f"{task} {count}" for task, count in over.iter_rows())
    note = f"Means over languages ({counts}) and seeds; in brackets the lowest and the highest of the seeds."
    return f"{table}\n\n{note}"


def _ranges(summary: pl.DataFrame) -> pl.DataFrame:
    """Rows of `over_seeds` for `_markdown`, without a range where there is one seed."""
    several = pl.when(pl.col("seeds") > 1).then(pl.col("low", "high"))
    return summary.rename({"seed_group": "name"}).with_columns(several)


def _markdown(rows: Sequence[Mapping[str, Any]], title: str, columns: Sequence[Mapping[str, Any]]) -> str:
    """A row per name, with mean and range.

    Args:
        rows: name, mean, low, high (None without a range), lower_is_better.
        title: of a column, a format of the keys of its rows.
        columns: the rows in the order of their columns.
    """

    def text(row: Mapping[str, Any]) -> str:
        mean, *ends = (score_text(row[key], row["lower_is_better"]) for key in ("mean", "low", "high") if row[key] is not None)
        return mean + (f" ({'–'.join(ends)})" if ends else "")

    titles = list(dict.fromkeys(title.format(**row) for row in columns))
    cells = {(row["name"], title.format(**row)): text(row) for row in rows}
    lines = [["model", *titles], ["---"] * (len(titles) + 1)]
    for name in dict.fromkeys(row["name"] for row in rows):
        lines.append([f"`{name}`", *(cells.get((name, column), "") for column in titles)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict_lines(comparisons: pl.DataFrame, scores: pl.DataFrame) -> list[str]:
    """What each test of means says, a line each: better, worse or no difference shown, by how much, in how many languages."""
    by_language = comparisons.filter(pl.col("language") != MEAN)
    keys = ["task", "kind", "first", "first_step", "second", "second_step"]
    alike = by_language.group_by(keys).agg((pl.col("verdict") == BETTER).sum().alias("better_in"))
    means = comparisons.filter(pl.col("language") == MEAN).join(alike, on=keys, how="left", maintain_order="left")
    direction = scores.select("task", "metric", "lower_is_better").unique()
    means = means.join(direction, on=["task", "metric"], how="left", maintain_order="left")
    lines = [_verdict_line(row) for row in means.iter_rows(named=True)]
    rest = len(lines) - _MOST_VERDICTS
    return lines if rest <= 0 else [*lines[:_MOST_VERDICTS], f"… and {rest} more, in the report"]


def _verdict_line(row: Mapping[str, Any]) -> str:
    verdict, lower = row["verdict"], row["lower_is_better"]
    if row["kind"] == "steps":
        place, who, other = row["task"], f"{row['first']} after {row['first_step']:,} steps", f"at step {row['second_step']:,}"
    else:
        place, who, other = f"{row['task']}, step {row['first_step']:,}", row["first"], row["second"]
    result = f"{who} and {other}: {NO_DIFFERENCE}" if verdict == NO_DIFFERENCE else f"{who} {verdict} than {other}"
    difference, low, high = (signed(row[name], lower) for name in ("difference", "low", "high"))
    p_value = "p < 0.001" if row["p_adjusted"] < 0.001 else f"p = {row['p_adjusted']:.3f}"
    note = " (lower is better)" if lower else ""
    better = f"better in {row['better_in']} of {row['languages']} languages"
    return f"{place}: {result}, {difference} [{low}, {high}]{note}, {p_value}; {better}"


def signed(value: float, lower_is_better: bool) -> str:
    """A difference of scores as text, with its sign."""
    text = score_text(value, lower_is_better)
    return text if text.startswith("-") else f"+{text}"
