"""Intervals of every score, language by language and for the mean over languages, and what comparisons of pairs need.

What is resampled and tested are sentences. Languages that share sentence ids share the resampled sentences and the signs of the
test, for a hard verse is hard in every language; other sentences are drawn apart. Models that differ in their seed only are one
in the tests: what a sentence gives is averaged over the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.evaluation.comparing import Pair, PairTests, System
from lexigraft.evaluation.scores import MEAN, MEAN_DIGITS
from lexigraft.evaluation.sentence_results import SentenceResults
from lexigraft.evaluation.statistics import DRAWS, percentile_interval, resampled_counts
from lexigraft.evaluation.tasks import Doubles

INTERVALS = pl.Schema(
    {"task": pl.String, "model": pl.String, "step": pl.Int64, "seeds": pl.Int64, "language": pl.String, "metric": pl.String}
    | dict.fromkeys(("score", "low", "high"), pl.Float64)
)
"""`model` is a model, `seeds` 0; or the common name of models that differ in their seed only, `seeds` their number."""


def task_tables(
    results: SentenceResults, systems: Sequence[System], pairs: Sequence[Pair], *, seed: int, draws: int = DRAWS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`INTERVALS` of all metrics, and `COMPARISONS` of pairs of systems by the headline, the first of the metrics.

    Args:
        results: of one task.
        systems: to score.
        pairs: to compare, over the languages and sentences that both have.
        seed: of the draws.
        draws: bootstrap draws.
    """
    languages = results.languages
    present = np.array([[all(code in results.units[unit].values for unit in it.units) for code in languages] for it in systems])
    found = {name: _Scores(present.shape, draws) for name in results.metrics}
    headline = next(iter(found))
    drawn = np.full((*present.shape, draws), np.nan, dtype=np.float32)
    tests = PairTests(results.metrics[headline], pairs, present)
    for place, block in enumerate(blocks_of(results)):
        weights = resampled_counts(block.sentences, draws, seed, place).astype(np.float32)
        tests.begin(block.sentences)
        for language, rows in block.rows.items():
            at = languages.index(language)
            there = np.flatnonzero(present[:, at])
            units, members = _units(systems, there)
            values = np.stack([results.units[unit].values[language] for unit in units], axis=1)
            resampled = (weights[:, rows] @ values.reshape(len(rows), -1)).reshape(draws, *values.shape[1:])
            sums = values.sum(axis=0, dtype=np.float64)
            for name, metric in results.metrics.items():
                columns = results.places(name)
                by_draw = _means(metric.of(resampled[..., columns]).T, members)
                scores = np.nan_to_num(metric.of(sums[..., columns]), nan=metric.undefined)
                found[name].add(there, at, _means(scores, members), by_draw)
                if name == headline:
                    drawn[there, at] = by_draw
                    tests.add(at, rows, there, _means(values[..., columns].astype(np.float64).swapaxes(0, 1), members))
        tests.end()
    intervals = [of.rows(results.task, name, systems, languages) for name, of in found.items()]
    compared = tests.rows(results.task, headline, systems, languages, found[headline].scores, drawn)
    return pl.concat(intervals), compared


class _Scores:
    """Scores of one metric and the ends of their intervals, by system and language, and draws of their means."""

    def __init__(self, shape: tuple[int, int], draws: int) -> None:
        self.scores = np.full(shape, np.nan)
        self.ends = np.full((2, *shape), np.nan)
        self.sums, self.counts = np.zeros((shape[0], draws)), np.zeros((shape[0], draws))

    def add(self, there: NDArray[np.int64], at: int, scores: Doubles, by_draw: Doubles) -> None:
        self.scores[there, at] = scores
        self.ends[:, there, at] = percentile_interval(by_draw)
        # a language without a sentence in a draw has no score in it, and does not count in its mean
        self.sums[there] += np.nan_to_num(by_draw)
        self.counts[there] += ~np.isnan(by_draw)

    def rows(self, task: str, metric: str, systems: Sequence[System], languages: Sequence[str]) -> pl.DataFrame:
        """Rows of `INTERVALS`: of each system the mean, then its languages."""
        with np.errstate(invalid="ignore"):
            low, high = percentile_interval(self.sums / self.counts)
        parts = []
        for place, system in enumerate(systems):
            (there,) = np.nonzero(~np.isnan(self.scores[place]))
            if not len(there):  # a metric of other models only, as of a layer that this one lacks
                continue
            scores = np.append(self.scores[place, there].mean(), self.scores[place, there])
            parts.append(
                pl.DataFrame(
                    {
                        "task": task,
                        "model": system.name,
                        "step": system.step,
                        "seeds": system.seeds,
                        "language": [MEAN, *(languages[at] for at in there.tolist())],
                        "metric": metric,
                        "score": [round(float(scores[0]), MEAN_DIGITS), *scores[1:].tolist()],
                        # a score that no draw changes, as of a language without entities, is its own interval
                        "low": np.fmin(np.append(low[place], self.ends[0, place, there]), scores),
                        "high": np.fmax(np.append(high[place], self.ends[1, place, there]), scores),
                    },
                    schema=INTERVALS,
                )
            )
        return pl.concat(parts)


@dataclass(frozen=True, slots=True)
class Block:
    """Languages whose sentences are resampled together.

    Attributes:
        sentences: number of distinct ones.
        rows: language -> which of them it has, in the order of its own.
    """

    sentences: int
    rows: Mapping[str, NDArray[np.int64]]


def blocks_of(results: SentenceResults) -> list[Block]:
    """Languages that share ids of sentences, directly or through others, in one block each."""
    sentences = {language: ids for unit in results.units for language, ids in unit.sentences.items()}
    if not results.shared:
        return [Block(len(ids), {language: np.arange(len(ids))}) for language, ids in sentences.items()]
    owner: dict[str, str] = {}
    leader = {language: language for language in sentences}

    def find(language: str) -> str:
        while leader[language] != language:
            language = leader[language]
        return language

    for language, ids in sentences.items():
        for other in {owner.setdefault(name, language) for name in ids}:
            leader[find(language)] = find(other)
    groups: dict[str, list[str]] = {}
    for language in sentences:
        groups.setdefault(find(language), []).append(language)
    blocks = []
    for languages in groups.values():
        ids = pl.concat([sentences[language] for language in languages]).unique().sort()
        blocks.append(Block(len(ids), {language: ids.search_sorted(sentences[language]).to_numpy() for language in languages}))
    return blocks


def _units(systems: Sequence[System], there: NDArray[np.int64]) -> tuple[list[int], list[list[int]]]:
    """Units of some systems, and of each system the places of its units among these."""
    units = list(dict.fromkeys(unit for index in there for unit in systems[index].units))
    place = {unit: at for at, unit in enumerate(units)}
    return units, [[place[unit] for unit in systems[index].units] for index in there]


def _means(of_units: Doubles, members: Sequence[Sequence[int]]) -> Doubles:
    """Means over the units of each system, (systems, …), of values by unit, (units, …)."""
    return np.stack([of_units[places].mean(axis=0) if len(places) > 1 else of_units[places[0]] for places in members])
