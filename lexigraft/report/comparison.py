"""A run's scores and the paper's, wherever both have the same model, task and step (docs/methods.md, section 13)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lexigraft.evaluation.scores import without_seed
from lexigraft.report.paper import (
    MEAN,
    MEANS_OF_ALL,
    MEANS_OF_PRETRAINING,
    METRICS,
    canonical,
    published_scores,
    reported_languages,
    task_languages,
)

NEARLY_ALL = 0.95
"""Means over a task's whole list are compared if the run scored this share of it: a few listed codes have no test set."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A score of the run and one of the paper, in percent. A run of several seeds is there with their mean."""

    ours: float
    paper: float

    @property
    def difference(self) -> float:
        """In percentage points: positive where the run is higher."""
        return self.ours - self.paper


@dataclass(frozen=True, slots=True)
class MeanRow:
    """Means of one model.

    Attributes:
        model: the paper's name of it.
        seeds: models of the run that differ in their seed only and are averaged.
        pretrained: mean over the languages of the pre-training that both have; None where the paper has no scores by language.
        languages: number of those languages.
        listed: number of languages that the paper has there (`reported_languages`).
        all: mean over the task's whole list; None where the paper has none or the run scored too few of the languages.
        covered: number of languages of the whole list that the run scored.
    """

    model: str
    seeds: int
    pretrained: Pair | None
    languages: int
    listed: int
    all: Pair | None
    covered: int


@dataclass(frozen=True, slots=True)
class LanguageBlock:
    """One of the paper's tables by language: rows of the run's language code and a pair for each model, or None."""

    number: int
    models: list[str]
    rows: list[tuple[str, list[Pair | None]]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that run and paper share of a task at a step. `listed` is the length of the task's whole list of languages."""

    task: str
    metric: str
    step: int
    listed: int
    rows: list[MeanRow]
    blocks: list[LanguageBlock]

    @property
    def seeds(self) -> int:
        """The largest number of seeds of a model."""
        return max(row.seeds for row in self.rows)

    @property
    def has_all(self) -> bool:
        """Whether any model has a mean over the whole list."""
        return any(row.all for row in self.rows)

    @property
    def name(self) -> str:
        """Task, metric and step as text."""
        return f"{self.task}, {self.metric.replace('_', '-')}, step {self.step:,}"


def comparisons(scores: pl.DataFrame) -> list[Comparison]:
    """Tasks and steps of which run and paper share a model, in the order of the run.

    Args:
        scores: the table that `write_scores` wrote.
    """
    ours = _averaged_over_seeds(scores)
    published = published_scores()
    found = []
    places = {task: place for place, task in enumerate(ours["task"].unique(maintain_order=True))}
    columns = ours.select("task", "step").unique().sort(pl.col("task").replace_strict(places, return_dtype=pl.Int64), "step")
    for task, step in columns.iter_rows():
        run = ours.filter(pl.col("task") == task, pl.col("step") == step)
        paper = published.filter(pl.col("task") == task, pl.col("step") == step, pl.col("model").is_in(run["model"].implode()))
        rows = [_mean_row(run.filter(model=model), paper.filter(model=model), task, model) for model in _names(run)]
        known = [row for row in rows if row.pretrained or row.all]
        if known:
            numbers = sorted(set(paper.filter(pl.col("language") != MEAN)["table"]))
            blocks = (_language_block(run, paper.filter(table=number), number) for number in numbers)
            shared = [block for block in blocks if block.rows]
            found.append(Comparison(task, METRICS[task], step, len(task_languages()[task]), known, shared))
    return found


def _averaged_over_seeds(scores: pl.DataFrame) -> pl.DataFrame:
    """model (seed group), task, step, language (the run's), code (canonical), score, seeds: what the paper could have too."""
    metric = pl.col("task").replace_strict(METRICS, default=None, return_dtype=pl.String)
    table = scores.filter(pl.col("metric") == metric)
    groups = {model: without_seed(model, seed) for model, seed in table.select("model", "seed").unique().iter_rows()}
    codes = {language: canonical(language) for language in table["language"].unique()}
    table = table.with_columns(
        pl.col("model").replace_strict(groups, return_dtype=pl.String).alias("seed_group"),
        pl.col("language").replace_strict(codes, return_dtype=pl.String).alias("code"),
    )
    return (
        table.group_by(pl.col("seed_group").alias("model"), "task", "step", "language", "code", maintain_order=True)
        .agg(pl.col("score").mean(), pl.col("model").n_unique().alias("seeds"))
        .unique(["model", "task", "step", "code"], keep="first", maintain_order=True)
    )


def _names(run: pl.DataFrame) -> list[str]:
    return run["model"].unique(maintain_order=True).to_list()


def _mean_row(run: pl.DataFrame, paper: pl.DataFrame, task: str, model: str) -> MeanRow:
    by_language = paper.filter(pl.col("language") != MEAN)
    means = {row["table"]: row["score"] for row in paper.filter(pl.col("language") == MEAN).iter_rows(named=True)}
    pretrained = run.filter(pl.col("code").is_in(list(reported_languages(task))))
    languages, first = len(pretrained), None
    if MEANS_OF_PRETRAINING in means and languages == len(reported_languages(task)):
        first = _pair(pretrained, means[MEANS_OF_PRETRAINING])
    else:  # the paper's mean over the languages that the run has too
        both = run.join(by_language.filter("certain"), left_on="code", right_on="language", how="inner", suffix="_paper")
        languages = len(both)
        first = _pair(both, float(both["score_paper"].mean())) if languages else None  # type: ignore[arg-type]
    whole = run.filter(pl.col("code").is_in(list(task_languages()[task])))
    enough = MEANS_OF_ALL in means and len(whole) >= NEARLY_ALL * len(task_languages()[task])
    return MeanRow(
        model=model,
        seeds=int(run["seeds"].max()),  # type: ignore[arg-type]
        pretrained=first,
        languages=languages,
        listed=len(reported_languages(task)),
        all=_pair(whole, means[MEANS_OF_ALL]) if enough else None,
        covered=len(whole),
    )


def _pair(run: pl.DataFrame, paper: float) -> Pair:
    return Pair(float(run["score"].mean()), paper)  # type: ignore[arg-type]


def _language_block(run: pl.DataFrame, paper: pl.DataFrame, number: int) -> LanguageBlock:
    """The run's languages that the paper's table has and names without doubt, in the paper's order."""
    models = [model for model in _names(run) if model in set(paper["model"])]
    ours = {(row["model"], row["code"]): row["score"] for row in run.iter_rows(named=True)}
    theirs = {(row["model"], row["language"]): row["score"] for row in paper.filter("certain").iter_rows(named=True)}
    names = dict(run.select("code", "language").iter_rows())
    codes = [code for code in paper.filter("certain")["language"].unique(maintain_order=True) if code in names]
    rows = []
    for code in codes:
        both = [(ours.get((model, code)), theirs.get((model, code))) for model in models]
        pairs = [Pair(mine, other) if mine is not None and other is not None else None for mine, other in both]
        if any(pairs):
            rows.append((names[code], pairs))
    return LanguageBlock(number, models, rows)
