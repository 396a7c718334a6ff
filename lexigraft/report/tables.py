"""Columns of the report's score tables, and plain rows about corpora and configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from lexigraft.evaluation.scores import MEAN_DIGITS, score_text
from lexigraft.report.inputs import Model

_KINDS = ("adapter", "kind", "initializer")
REPEATED = "held_out_repeated"
"""Column of test sentences that are another one of their language again: of such only the nearest can be found first."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the score table; columns with the same task, metric and step are equal.

    Attributes:
        lower_is_better: whether the lowest score is the best one; such scores are no percentages.
        unit: what the sample sizes of its scores count.
    """

    task: str
    metric: str
    step: int
    lower_is_better: bool = field(default=False, compare=False)
    unit: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The metric as text: `top-10`."""
        return self.metric.replace("_", "-")

    def best(self, scores: Iterable[float]) -> float:
        """The best of some scores."""
        return min(scores) if self.lower_is_better else max(scores)

    def text(self, score: float) -> str:
        """A score as text."""
        return score_text(score, self.lower_is_better)


def columns_of(scores: pl.DataFrame) -> list[Column]:
    """Columns of the score table: the headline metric of each task at each step, tasks in their order."""
    return _columns(scores.filter("headline"))


def _columns(scores: pl.DataFrame) -> list[Column]:
    """Columns of all rows, by task, step and metric; tasks and metrics in their order."""
    kinds = scores.select("task", "metric", "step", "lower_is_better", "unit").unique(maintain_order=True)
    tasks = kinds["task"].unique(maintain_order=True).to_list()
    return sorted((Column(*row) for row in kinds.rows()), key=lambda column: (tasks.index(column.task), column.step))


def of_column(scores: pl.DataFrame, column: Column) -> pl.DataFrame:
    """The rows of the scores that a column of the score table is the mean of."""
    return scores.filter(pl.col("task") == column.task, pl.col("metric") == column.metric, pl.col("step") == column.step)


def other_metrics(scores: pl.DataFrame, models: Mapping[str, Model]) -> tuple[list[Column], dict[tuple[str, Column], float]]:
    """Columns of all metrics and steps, and their means over languages by model and column."""
    means = scores.group_by("model", "task", "metric", "step").agg(pl.col("score").mean().round(MEAN_DIGITS))
    known = {(model, Column(task, metric, step)): score for model, task, metric, step, score in means.iter_rows()}
    return _columns(scores), {key: score for key, score in known.items() if key[0] in models}


def by_seed_group(scores: pl.DataFrame, models: Mapping[str, Model]) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Scores averaged over the seeds of each group (n is that of one of them), and for each group a model of its name."""
    groups = {name: model.seed_group for name, model in models.items()}
    named = scores.with_columns(pl.col("model").replace_strict(groups, return_dtype=pl.String))
    keys = ["model", "task", "language", "metric", "step", "unit", "headline", "lower_is_better"]
    averaged = named.group_by(keys, maintain_order=True).agg(pl.col("score").mean(), pl.col("n").max())
    return averaged, {model.seed_group: replace(model, name=model.seed_group) for model in models.values()}


@dataclass(frozen=True, slots=True)
class CorpusTable:
    """What was read of a corpus: a row per language and source, whole numbers under `columns`, and their sums."""

    name: str
    columns: list[str]
    rows: list[tuple[str, str, list[int]]]
    sums: list[int]

    @property
    def languages(self) -> int:
        """Number of languages."""
        return len({language for language, *_ in self.rows})

    def summary(self) -> str:
        """One line: languages, sentences kept, held out (and how many of these repeat another), what was dropped why."""
        of = dict(zip(self.columns, self.sums, strict=True))
        named = [f"{of[key]:,} sentences {key.replace('_', ' ')}" for key in ("kept", "held_out") if key in of]
        if of.get(REPEATED):
            named.append(f"{of[REPEATED]:,} of these repeat another")
        others = ("read", "kept", "held_out", REPEATED)
        dropped = [f"{of[key]:,} {key.replace('_', ' ')}" for key in self.columns if key not in others]
        plural = "language" if self.languages == 1 else "languages"
        line = ", ".join([f"{self.languages} {plural}", *named])
        return f"{line}; dropped: {', '.join(dropped)}" if dropped else line


def corpus_table(name: str, counts: pl.DataFrame, test: pl.DataFrame | None = None) -> CorpusTable:
    """Rows of a `counts.parquet`: language, source, and every column of whole numbers.

    Args:
        name: of the corpus.
        counts: the table.
        test: `held_out.parquet` of a corpus that retrieval is tested on; adds the column `REPEATED`.
    """
    if test is not None:
        repeated = test.group_by("language").agg((pl.len() - pl.col("text").n_unique()).cast(pl.Int64).alias(REPEATED))
        counts = counts.join(repeated, on="language", how="left", maintain_order="left")
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
    """A configuration value in words: `ofa, top k 10, temperature 0.1`. Options that are off (None) or empty are left out."""
    if isinstance(value, Mapping):
        parts: list[str] = []
        for key, item in value.items():
            text = phrase(item)
            option = str(key).replace("_", " ") if str(key).islower() else str(key)  # language codes keep theirs
            if key in _KINDS:
                parts.insert(0, text)
            elif item not in (None, []):
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
