"""Tables of the report as plain rows: scores with intervals, paired differences, languages, corpora, configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import polars as pl

from lexigraft.evaluation.scores import (
    LOWER_IS_BETTER,
    MEAN_DIGITS,
    Interval,
    best_score,
    confidence_interval,
    headlines,
    mean_scores,
    paired_difference,
    read_hits,
    score_text,
)
from lexigraft.report.inputs import Model, ReportInputs

_KINDS = ("adapter", "kind", "initializer")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the score table."""

    task: str
    metric: str
    step: int

    @property
    def name(self) -> str:
        """The metric as it is read: `top-10`."""
        return self.metric.replace("_", "-")

    @property
    def lower_is_better(self) -> bool:
        """Whether the lowest score is the best one; such metrics are no percentages."""
        return self.metric in LOWER_IS_BETTER

    @property
    def of_queries(self) -> bool:
        """Whether scores are shares of queries, of which ranks are known."""
        return self.metric.startswith("top_")

    def best(self, scores: Iterable[float]) -> float:
        """The best of some scores."""
        return best_score(self.metric, scores)

    def text(self, score: float) -> str:
        """A score as it is read."""
        return score_text(self.metric, score)


@dataclass(frozen=True, slots=True)
class Cell:
    """A score, mean over languages.

    Attributes:
        score: the mean.
        interval: its interval, where there are ranks to make one of.
        best: best of its column.
        tied: not the best, but the interval of the paired difference with the best holds 0.
    """

    score: float
    interval: Interval | None
    best: bool
    tied: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against the next one below it, on the same queries, in percentage points."""

    column: Column
    model: str
    other: str
    difference: Interval


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Models x columns.

    Attributes:
        columns: by task, then step.
        models: names in the order of the run.
        cells: (model, column) -> cell; models that were not scored at a step have none.
        comparisons: every model with the next below it, by column, best first.
        languages: task -> number of languages.
        queries: task -> number of queries of a language, lowest and highest; tasks without queries are left out.
    """

    columns: list[Column]
    models: list[str]
    cells: dict[tuple[str, Column], Cell]
    comparisons: list[Comparison]
    languages: dict[str, int]
    queries: dict[str, tuple[int, int]]

    @property
    def groups(self) -> list[tuple[str, list[Column]]]:
        """Columns by task."""
        return [(task, list(group)) for task, group in groupby(self.columns, key=lambda column: column.task)]

    @property
    def tags(self) -> list[str]:
        """Tasks of tagging."""
        return [task for task, (column, *_) in self.groups if not (column.of_queries or column.lower_is_better)]

    @property
    def predicted(self) -> list[str]:
        """Tasks of language modelling."""
        return [task for task, (column, *_) in self.groups if column.lower_is_better]


def columns_of(scores: pl.DataFrame) -> list[Column]:
    """Columns of the score table: the headline metric of each task at each step, tasks in their order."""
    return [
        Column(task, metric, step)
        for task, metric in headlines(scores).items()
        for step in sorted(set(scores.filter(pl.col("task") == task)["step"]))
    ]


def score_table(scores: pl.DataFrame, inputs: ReportInputs, models: Mapping[str, Model]) -> ScoreTable:
    """Score table with intervals and comparisons from the ranks artifacts (read one column at a time)."""
    means = {(row["model"], row["task"], row["step"]): row["mean"] for row in mean_scores(scores).iter_rows(named=True)}
    paths = {(row["model"], row["task"], row["step"]): path for row, path in zip(inputs.rows, inputs.ranks, strict=True)}
    columns = columns_of(scores)
    cells: dict[tuple[str, Column], Cell] = {}
    comparisons: list[Comparison] = []
    for column in columns:
        place = (column.task, column.step)
        scored = [name for name in models if (name, *place) in means]
        ranked = sorted(scored, key=lambda name: means[name, *place] * (1 if column.lower_is_better else -1))
        hits = {}
        if column.of_queries:
            k = int(column.metric.removeprefix("top_"))
            hits = {name: read_hits(paths[name, *place], k) for name in ranked if (name, *place) in paths}
        for name in ranked:
            first = ranked[0]
            both = name in hits and first in hits
            cells[name, column] = Cell(
                score=means[name, *place],
                interval=confidence_interval(hits[name], seed=inputs.seed) if name in hits else None,
                best=means[name, *place] == means[first, *place],
                tied=both and not paired_difference(hits[first], hits[name], seed=inputs.seed).excludes_zero,
            )
        comparisons += [
            Comparison(column, name, other, paired_difference(hits[name], hits[other], seed=inputs.seed))
            for name, other in pairwise(ranked)
            if name in hits and other in hits
        ]
    return ScoreTable(
        columns=columns,
        models=list(models),
        cells=cells,
        comparisons=comparisons,
        languages=dict(scores.group_by("task", maintain_order=True).agg(pl.col("language").n_unique()).iter_rows()),
        queries={
            task: (low, high)
            for task, low, high in scores.filter(pl.col("metric").str.starts_with("top_"))
            .group_by("task", maintain_order=True)
            .agg(pl.col("n").min().alias("low"), pl.col("n").max().alias("high"))
            .iter_rows()
        },
    )


@dataclass(frozen=True, slots=True)
class LanguageTable:
    """Scores of every language in one column of the score table.

    Attributes:
        column: which.
        models: the models that were scored.
        rows: language, number of queries (or of what else was scored), and the score of each model (None where it has none).
    """

    column: Column
    models: list[str]
    rows: list[tuple[str, int, list[float | None]]]


def language_table(scores: pl.DataFrame, column: Column, models: Mapping[str, Model]) -> LanguageTable:
    """Scores by language, in the languages' order."""
    chosen = of_column(scores, column)
    present = [name for name in models if name in set(chosen["model"])]
    value = {(row["language"], row["model"]): row["score"] for row in chosen.iter_rows(named=True)}
    sizes = chosen.group_by("language", maintain_order=True).agg(pl.col("n").max())
    rows = [(language, n, [value.get((language, name)) for name in present]) for language, n in sizes.iter_rows()]
    return LanguageTable(column, present, rows)


def of_column(scores: pl.DataFrame, column: Column) -> pl.DataFrame:
    """The rows of the scores that a column of the score table is the mean of."""
    return scores.filter(pl.col("task") == column.task, pl.col("metric") == column.metric, pl.col("step") == column.step)


def other_metrics(scores: pl.DataFrame, models: Mapping[str, Model]) -> tuple[list[Column], dict[tuple[str, Column], float]]:
    """Columns of all metrics and steps, and their means over languages by model and column."""
    means = scores.group_by("model", "task", "metric", "step").agg(pl.col("score").mean().round(MEAN_DIGITS))
    columns = [
        Column(task, metric, step)
        for task, step in dict.fromkeys((column.task, column.step) for column in columns_of(scores))
        for metric in scores.filter(pl.col("task") == task)["metric"].unique(maintain_order=True)
    ]
    known = {(model, Column(task, metric, step)): score for model, task, metric, step, score in means.iter_rows()}
    return columns, {key: score for key, score in known.items() if key[0] in models}


@dataclass(frozen=True, slots=True)
class CorpusTable:
    """What was read of a corpus: a row a language and source, whole numbers under `columns`, and their sums."""

    name: str
    columns: list[str]
    rows: list[tuple[str, str, list[int]]]
    sums: list[int]

    @property
    def languages(self) -> int:
        """Number of languages."""
        return len({language for language, *_ in self.rows})

    def summary(self) -> str:
        """One line: languages, sentences kept, held out, and what was dropped why."""
        of = dict(zip(self.columns, self.sums, strict=True))
        named = [f"{of[key]:,} sentences {key.replace('_', ' ')}" for key in ("kept", "held_out") if key in of]
        dropped = [f"{of[key]:,} {key.replace('_', ' ')}" for key in self.columns if key not in ("read", "kept", "held_out")]
        plural = "language" if self.languages == 1 else "languages"
        line = ", ".join([f"{self.languages} {plural}", *named])
        return f"{line}; dropped: {', '.join(dropped)}" if dropped else line


def corpus_table(name: str, counts: pl.DataFrame) -> CorpusTable:
    """Rows of a `counts.parquet`: language, source, and every column of whole numbers."""
    columns = [column for column, dtype in counts.schema.items() if dtype.is_integer()]
    rows = [
        (row["language"], str(row.get("source") or ""), [int(row[column] or 0) for column in columns])
        for row in counts.iter_rows(named=True)
    ]
    return CorpusTable(name, columns, rows, [sum(row[2][place] for row in rows) for place in range(len(columns))])


def configuration_sections(configuration: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The configuration as sections of (name, options).

    A section of named things (`methods: {ofa: {…}, …}`) has a row each; a section of options is one row without a name, and
    single values are not repeated here.
    """
    sections: list[tuple[str, list[tuple[str, str]]]] = []
    for key, value in configuration.items():
        if isinstance(value, Mapping) and value:
            named = all(isinstance(options, Mapping) for options in value.values())
            rows = [(str(name), phrase(options)) for name, options in value.items()] if named else [("", phrase(value))]
            sections.append((key, rows))
    return sections


def phrase(value: Any) -> str:
    """A configuration value in words: `ofa, top k 10, temperature 0.1`. Options that are off (None) are left out."""
    if isinstance(value, Mapping):
        parts: list[str] = []
        for key, item in value.items():
            text = phrase(item)
            option = str(key).replace("_", " ") if str(key).islower() else str(key)  # language codes keep theirs
            if key in _KINDS:
                parts.insert(0, text)
            elif item is not None:
                parts.append(f"{option} {f'({text})' if isinstance(item, Mapping) else text}")
        return ", ".join(parts)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(phrase(item) for item in value)
