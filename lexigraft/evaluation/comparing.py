"""Tests of pairs of models, sentence by sentence; `statistics` says how and after whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.evaluation.scores import MEAN, MEAN_DIGITS
from lexigraft.evaluation.statistics import SignSums, holm, percentile_interval, verdict
from lexigraft.evaluation.tasks import Doubles, Metric

COMPARISONS = pl.Schema(
    dict.fromkeys(("task", "metric", "kind", "first"), pl.String)
    | {"first_step": pl.Int64, "second": pl.String, "second_step": pl.Int64, "language": pl.String, "languages": pl.Int64}
    | dict.fromkeys(("first_score", "second_score", "difference", "low", "high", "p", "p_adjusted"), pl.Float64)
    | {"verdict": pl.String}
)
"""`kind` is `methods` or `steps`, `difference` first - second with its interval, `verdict` says what the first is.

p-values of a pair's languages are adjusted for the number of languages, those of means for the number of pairs of a kind at a
step."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems, as indices in a list of them: two methods at one step, or one model at two steps."""

    kind: Literal["methods", "steps"]
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class System:
    """What a score belongs to: a model at a step, or a seed group of several models.

    Attributes:
        name: of the model or the seed group.
        step: of pre-training.
        seeds: 0 for a model by itself, else the number of models.
        units: indices in the results; scores are means over them.
    """

    name: str
    step: int
    seeds: int
    units: tuple[int, ...]


class PairTests:
    """Gathers what sentences add to the differences of pairs, language by language and for their means."""

    def __init__(self, metric: Metric, pairs: Sequence[Pair], present: NDArray[np.bool_]) -> None:
        """
        Args:
            metric: of the scores.
            pairs: to compare.
            present: (systems, languages) which scores there are.
        """
        self.metric, self.pairs = metric, list(pairs)
        self.first = np.array([pair.first for pair in pairs], dtype=np.int64)
        self.second = np.array([pair.second for pair in pairs], dtype=np.int64)
        self.both = present[self.first] & present[self.second]
        self.languages = self.both.sum(axis=1)
        self.p_values = np.full(self.both.shape, np.nan)
        self.sums = SignSums.of(np.zeros((0, len(self.pairs))))
        self.means = np.zeros((0, len(self.pairs)))

    def begin(self, sentences: int) -> None:
        """Begin a block of sentences that languages share."""
        self.means = np.zeros((sentences, len(self.pairs)))

    def add(self, at: int, rows: NDArray[np.int64], there: NDArray[np.int64], values: Doubles) -> None:
        """Take a language's sentences.

        Args:
            at: index of the language.
            rows: indices of its sentences in the block.
            there: systems that have the language.
            values: (systems that have it, sentences, columns of the metric), averaged over units.
        """
        (compared,) = np.nonzero(self.both[:, at])
        if not len(compared):
            return
        first = values[np.searchsorted(there, self.first[compared])]
        second = values[np.searchsorted(there, self.second[compared])]
        slopes = self.metric.gradient((first.sum(axis=1) + second.sum(axis=1)) / 2)
        added = np.einsum("psc,pc->sp", first - second, slopes)
        self.p_values[compared, at] = SignSums.of(added).p_values()
        self.means[rows[:, None], compared[None, :]] += added / self.languages[compared]

    def end(self) -> None:
        """End a block."""
        self.sums = self.sums + SignSums.of(self.means)

    def rows(
        self,
        task: str,
        metric: str,
        systems: Sequence[System],
        languages: Sequence[str],
        scores: Doubles,
        drawn: NDArray[np.float32],
    ) -> pl.DataFrame:
        """`COMPARISONS`: of each pair the means over the languages that both have, then these languages.

        Args:
            task, metric: names.
            systems: that pairs are made of.
            languages: their codes.
            scores: (systems, languages).
            drawn: (systems, languages, draws) the scores in each draw.
        """
        parts = [COMPARISONS.to_frame()]
        lower = self.metric.lower_is_better
        for place, (pair, p_mean, adjusted) in enumerate(
            zip(self.pairs, self.sums.p_values(), self._adjusted(systems), strict=True)
        ):
            (there,) = np.nonzero(self.both[place])
            if not len(there):
                continue
            lead = scores[pair.first, there].mean() - scores[pair.second, there].mean()
            turned = pair.kind == "methods" and (lead > 0 if lower else lead < 0)
            one, other = (pair.second, pair.first) if turned else (pair.first, pair.second)
            first, second = (np.append(scores[it, there].mean(), scores[it, there]) for it in (one, other))
            apart = drawn[one, there] - drawn[other, there]
            known = ~np.isnan(apart)
            mean = np.nan_to_num(apart).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
            low, high = percentile_interval(np.vstack([mean, apart]))
            p_values = self.p_values[place, there]
            all_adjusted = [float(adjusted), *holm(p_values).tolist()]
            difference = np.round(first - second, MEAN_DIGITS) + 0.0  # no -0.0
            parts.append(
                pl.DataFrame(
                    {
                        "task": task,
                        "metric": metric,
                        "kind": pair.kind,
                        "first": systems[one].name,
                        "first_step": systems[one].step,
                        "second": systems[other].name,
                        "second_step": systems[other].step,
                        "language": [MEAN, *(languages[at] for at in there.tolist())],
                        "languages": [len(there), *[1] * len(there)],
                        "first_score": first,
                        "second_score": second,
                        "difference": difference,
                        "low": np.where(np.isnan(low), difference, low),
                        "high": np.where(np.isnan(high), difference, high),
                        "p": np.append(p_mean, p_values),
                        "p_adjusted": all_adjusted,
                        "verdict": [
                            verdict(found, p, lower_is_better=lower) for found, p in zip(difference, all_adjusted, strict=True)
                        ],
                    },
                    schema=COMPARISONS,
                )
            )
        return pl.concat(parts)

    def _adjusted(self, systems: Sequence[System]) -> Doubles:
        """p-values of the means, adjusted for the number of pairs of the same kind at the same step."""
        p_values = self.sums.p_values()
        found = np.ones(len(p_values))
        kinds = [(pair.kind, systems[pair.first].step) for pair in self.pairs]
        for kind in dict.fromkeys(kinds):
            chosen = np.array([other == kind for other in kinds]) & (self.languages > 0)
            found[chosen] = holm(p_values[chosen])
        return found
