"""How sure scores and their differences are: resampled sentences, tests of pairs, corrections for many tests.

- **Intervals**: percentiles of the bootstrap over sentences (Efron and Tibshirani 1993, An Introduction to the Bootstrap,
  chapter 13).
- **Tests**: under the hypothesis that two models do not differ, which of them gave which result for a sentence is chance
  (Noreen 1989, Computer-Intensive Methods for Testing Hypotheses, chapter 2; Yeh 2000, https://aclanthology.org/C00-2137). The
  difference is then Σ ±u over sentences with random signs, u being what a sentence adds to it. Where all |u| are equal, as with
  hits in one language, the distribution is binomial and the p-value exact (McNemar 1947, doi 10.1007/BF02295996); otherwise it
  is close to normal with variance Σ u² (with a continuity correction, Edwards 1948, doi 10.1007/BF02289261), and with few
  sentences the p-value is an upper bound (Bentkus and Dzindzalieta 2015, doi 10.3150/14-BEJ603: P(Σ ±u ≥ x) ≤ 3.179 P(N ≥ x)).
- **Many languages**: Holm 1979 (https://www.jstor.org/stable/4615733), which holds whatever the dependence between the tests,
  and languages share sentences; recommended for tests on many data sets by Dror et al. 2017, https://aclanthology.org/Q17-1033.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr

from lexigraft.evaluation.tasks import Doubles, Floats

LEVEL, ALPHA = 0.95, 0.05
DRAWS = 1000
BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference shown"
_FEW_SENTENCES = 10.0
_BOUND = 3.1787  # 1 / (4 P(N ≥ √2))
_EQUAL = 1e-9


@lru_cache(maxsize=2)
def resampled_counts(sentences: int, draws: int, seed: int, place: int = 0) -> NDArray[np.uint8]:
    """How often each sentence is in each draw with replacement: (draws, sentences), each row summing to `sentences`.

    Args:
        sentences: number of them.
        draws: number of draws.
        seed: of the draws.
        place: draws of other sentences under the same seed; sets of sentences are resampled apart from each other.
    """
    generator = np.random.default_rng([seed, place])
    counts = np.empty((draws, sentences), dtype=np.uint8)
    for draw in counts:  # one row at a time: the counts of one draw are about 1 each, far below 255
        draw[:] = np.bincount(generator.integers(sentences, size=sentences), minlength=sentences)
    return counts


def percentile_interval(draws: Floats, level: float = LEVEL) -> tuple[Doubles, Doubles]:
    """Ends of the interval over the last axis, draws without a score left out; nan where there are none."""
    quantiles = [(1 - level) / 2, (1 + level) / 2]
    if np.isnan(draws).any():
        known = ~np.isnan(draws).all(axis=-1)
        ends = np.full((2, *draws.shape[:-1]), np.nan)
        ends[:, known] = np.nanquantile(draws[known], quantiles, axis=-1)
    else:
        ends = np.quantile(draws, quantiles, axis=-1)
    return ends[0], ends[1]


@dataclass(slots=True)
class SignSums:
    """What the test of a pair needs of its sentences, gathered block by block; each attribute is (pairs,) float64.

    Attributes:
        total: Σ u, the difference.
        squares, fourths: Σ u², Σ u⁴.
        largest, smallest: of |u|, zeros left out; 0 and infinity where all are 0.
        positive, differing: sentences with u > 0 and with u ≠ 0.
    """

    total: Doubles
    squares: Doubles
    fourths: Doubles
    largest: Doubles
    smallest: Doubles
    positive: Doubles
    differing: Doubles

    @classmethod
    def of(cls, values: Doubles) -> SignSums:
        """Of one block of sentences: values u, (sentences, pairs)."""
        size = np.abs(values)
        size[size < _EQUAL * max(float(size.max(initial=0.0)), 1e-300)] = 0.0
        there = size > 0
        return cls(
            total=values.sum(axis=0),
            squares=(values**2).sum(axis=0),
            fourths=(values**4).sum(axis=0),
            largest=size.max(axis=0, initial=0.0),
            smallest=np.where(there, size, np.inf).min(axis=0, initial=np.inf),
            positive=(there & (values > 0)).sum(axis=0).astype(np.float64),
            differing=there.sum(axis=0).astype(np.float64),
        )

    def __add__(self, other: SignSums) -> SignSums:
        joins = {"largest": np.maximum, "smallest": np.minimum}
        names = [field.name for field in fields(self)]
        return SignSums(*(joins.get(name, np.add)(getattr(self, name), getattr(other, name)) for name in names))

    def p_values(self) -> Doubles:
        """Two-sided p-values, (pairs,): 1 where no sentence differs; see the module's docstring."""
        with np.errstate(divide="ignore", invalid="ignore"):
            normal = 2 * ndtr(-np.abs(self.total) / np.sqrt(self.squares))
            # sums of steps lie apart: half a step is taken off, which is nothing where some steps are small (Edwards 1948)
            stepped = 2 * ndtr(-np.maximum(np.abs(self.total) - self.smallest, 0) / np.sqrt(self.squares))
            effective = self.squares**2 / self.fourths
        found = np.where(effective < _FEW_SENTENCES, _BOUND * normal, stepped)
        exact = self.largest <= self.smallest * (1 + 1e-6)
        fewer = np.minimum(self.positive, self.differing - self.positive)
        found = np.where(exact, 2 * bdtr(fewer, np.maximum(self.differing, 1).astype(np.int64), 0.5), found)
        p_values: Doubles = np.where(self.differing == 0, 1.0, np.minimum(found, 1.0))
        return p_values


def holm(p_values: Doubles) -> Doubles:
    """Holm's adjusted p-values: those below α may be believed with a chance of at most α that any of them is wrong.

    The i-th smallest of m is multiplied by m - i + 1, and none is smaller than the one before it.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def verdict(difference: float, p_adjusted: float, *, lower_is_better: bool = False) -> str:
    """What a test says of the first of two: better, worse, or no difference shown."""
    if p_adjusted >= ALPHA or difference == 0:
        return NO_DIFFERENCE
    return BETTER if (difference > 0) != lower_is_better else WORSE
