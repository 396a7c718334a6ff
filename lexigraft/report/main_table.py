"""The main table: methods x source and D' x tasks, before and after pre-training, with intervals and what the tests show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import polars as pl

from lexigraft.evaluation.scores import MEAN, seed_summary
from lexigraft.evaluation.statistics import BETTER, NO_DIFFERENCE, WORSE
from lexigraft.report.inputs import Model
from lexigraft.report.tables import Column, columns_of


@dataclass(frozen=True, slots=True)
class Cell:
    """A score, mean over languages and seeds.

    Attributes:
        score: the mean.
        interval: ends of its interval, where sentences are known.
        spread: lowest and highest of several seeds.
        best: best of the methods of its setting.
        tied: not the best, but no difference from it is shown.
        change: verdict compared with the first step.
    """

    score: float
    interval: tuple[float, float] | None
    spread: tuple[float, float] | None
    best: bool
    tied: bool
    change: str | None


@dataclass(frozen=True, slots=True)
class Versus:
    """A test of the means of two: methods at a step, or a model at two steps.

    Attributes:
        column: task, metric and the first one's step.
        first, second: seed groups.
        before: the second one's step.
        difference, low, high: first - second, and its interval.
        p_value: adjusted for the number of pairs.
        verdict: of the first compared with the second.
        languages: that both were scored in.
        verdicts: number of these by their own verdict.
    """

    column: Column
    first: str
    second: str
    before: int
    difference: float
    low: float
    high: float
    p_value: float
    verdict: str
    languages: int
    verdicts: Mapping[str, int]

    @property
    def better(self) -> int:
        """Languages in which the first is better."""
        return self.verdicts.get(BETTER, 0)

    @property
    def worse(self) -> int:
        """Languages in which the first is worse."""
        return self.verdicts.get(WORSE, 0)


@dataclass(frozen=True, slots=True)
class MainTable:
    """Seed groups x columns.

    Attributes:
        columns: by task, then step.
        settings: seed groups that differ in method only, by what they share (source, D', label).
        seeds: seed group -> number of models.
        first: seed group -> its first model.
        cells: (seed group, column) -> cell.
        methods, steps: all tests.
        languages: task -> number of languages.
        sizes: task -> sample size of a language, lowest and highest.
    """

    columns: list[Column]
    settings: dict[str, list[str]]
    seeds: dict[str, int]
    first: dict[str, str]
    cells: dict[tuple[str, Column], Cell]
    methods: list[Versus]
    steps: list[Versus]
    languages: dict[str, int]
    sizes: dict[str, tuple[int, int]]

    @property
    def groups(self) -> list[tuple[str, list[Column]]]:
        """Columns by task."""
        return [(task, list(group)) for task, group in groupby(self.columns, key=lambda column: column.task)]

    @property
    def some_lower(self) -> bool:
        """Whether the scores of any task are better when lower."""
        return any(column.lower_is_better for column in self.columns)

    @property
    def several_seeds(self) -> bool:
        """Whether any seed group has more than one model."""
        return max(self.seeds.values(), default=1) > 1

    def leaders(self, column: Column) -> list[tuple[str, Versus | None]]:
        """The best seed group of each setting with others in it, and its test against the next best one."""
        found = []
        for names in self.settings.values():
            scored = [name for name in names if (name, column) in self.cells]
            ranked = sorted(scored, key=lambda name: self.cells[name, column].score * (1 if column.lower_is_better else -1))
            if len(ranked) > 1:
                tests = [test for test in self.methods if test.column == column and {test.first, test.second} == {*ranked[:2]}]
                found.append((ranked[0], tests[0] if tests else None))
        return found

    def winners(self, column: Column, models: Mapping[str, Model]) -> list[tuple[str, int, int]]:
        """Methods that are best in some settings: method, in how many, and in how many of these better than the next one."""
        leaders = self.leaders(column)
        best = Counter(models[self.first[name]].method for name, _ in leaders)
        shown = Counter(models[self.first[name]].method for name, test in leaders if test and test.verdict == BETTER)
        return [(method, count, shown[method]) for method, count in best.most_common()]


def main_table(
    scores: pl.DataFrame, intervals: pl.DataFrame, comparisons: pl.DataFrame, models: Mapping[str, Model]
) -> MainTable:
    """The table from the three artifacts; intervals and comparisons may be empty."""
    groups = {name: model.seed_group for name, model in models.items()}
    columns = columns_of(scores)
    setting_of = {model.seed_group: model.setting for model in models.values()}
    settings: dict[tuple[str, str], list[str]] = {}
    for name, setting in setting_of.items():
        settings.setdefault(setting, []).append(name)
    tests = _tests(comparisons, groups, columns)
    methods = {(test.column, frozenset((test.first, test.second))): test for test in tests["methods"]}
    changes: dict[tuple[str, Column], list[str]] = {}
    for test in tests["steps"]:
        changes.setdefault((test.first, test.column), []).append(test.verdict)
    # the interval of a seed group of several models comes last and stays
    alone = intervals.filter(pl.col("language") == MEAN).sort("seeds", maintain_order=True)
    ends = {
        (groups.get(row["model"], row["model"]), row["task"], row["step"], row["metric"]): (row["low"], row["high"])
        for row in alone.iter_rows(named=True)
    }
    summary = seed_summary(scores).iter_rows(named=True)
    best: dict[tuple[tuple[str, str], Column], str] = {}
    column_of = {(column.task, column.step): column for column in columns}
    places = {(row["seed_group"], column_of[row["task"], row["step"]]): row for row in summary}
    for (name, column), row in places.items():
        ahead = places[best.setdefault((setting_of[name], column), name), column]["mean"]
        if row["mean"] != ahead and column.best((row["mean"], ahead)) == row["mean"]:
            best[setting_of[name], column] = name
    cells = {}
    for (name, column), row in places.items():
        leader = best[setting_of[name], column]
        versus = methods.get((column, frozenset((name, leader))))
        change = changes.get((name, column), [])
        cells[name, column] = Cell(
            score=row["mean"],
            interval=ends.get((name, column.task, column.step, column.metric)),
            spread=(row["low"], row["high"]) if row["seeds"] > 1 else None,
            best=row["mean"] == places[leader, column]["mean"],
            tied=versus is not None and versus.verdict == NO_DIFFERENCE and row["mean"] != places[leader, column]["mean"],
            change=change[0] if len(change) == 1 else None,
        )
    names_of = Counter(name for name, _ in settings)
    n = pl.col("n")
    sizes = scores.filter("headline").group_by("task", maintain_order=True).agg(n.min().alias("low"), n.max().alias("high"))
    return MainTable(
        columns=columns,
        settings={name if names_of[name] == 1 else f"{name}, {target}": names for (name, target), names in settings.items()},
        seeds=dict(Counter(groups.values())),
        first={model.seed_group: name for name, model in reversed(list(models.items()))},
        cells=cells,
        methods=tests["methods"],
        steps=tests["steps"],
        languages=dict(scores.group_by("task", maintain_order=True).agg(pl.col("language").n_unique()).iter_rows()),
        sizes={task: (low, high) for task, low, high in sizes.iter_rows()},
    )


def _tests(comparisons: pl.DataFrame, groups: Mapping[str, str], columns: Iterable[Column]) -> dict[str, list[Versus]]:
    keys = ["task", "kind", "first", "first_step", "second", "second_step"]
    known = set(groups) | set(groups.values())
    own = comparisons.filter(pl.col("first").is_in(known), pl.col("second").is_in(known))
    counts: dict[tuple[Any, ...], dict[str, int]] = {}
    by_language = own.filter(pl.col("language") != MEAN).group_by(*keys, "verdict", maintain_order=True).len()
    for *key, verdict, count in by_language.iter_rows():
        counts.setdefault(tuple(key), {})[verdict] = count
    column_of = {(column.task, column.step): column for column in columns}
    found: dict[str, list[Versus]] = {"methods": [], "steps": []}
    for row in own.filter(pl.col("language") == MEAN).iter_rows(named=True):
        found[row["kind"]].append(
            Versus(
                column=column_of[row["task"], row["first_step"]],
                first=groups.get(row["first"], row["first"]),
                second=groups.get(row["second"], row["second"]),
                before=row["second_step"],
                difference=row["difference"],
                low=row["low"],
                high=row["high"],
                p_value=row["p_adjusted"],
                verdict=row["verdict"],
                languages=row["languages"],
                verdicts=counts.get(tuple(row[key] for key in keys), {}),
            )
        )
    return found
