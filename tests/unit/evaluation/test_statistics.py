"""Intervals and tests against scipy, against loops, and on simulated data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lexigraft.evaluation.statistics import (
    BETTER,
    NO_DIFFERENCE,
    WORSE,
    SignSums,
    holm,
    percentile_interval,
    resampled_counts,
    verdict,
)
from lexigraft.evaluation.tasks import Metric
from lexigraft.evaluation.tasks.language_modeling import metrics_of
from lexigraft.evaluation.tasks.tagging import METRICS

SHARE = Metric({"hit": 1, "queries": -1}, "queries", "queries", scale=100.0)
F1 = METRICS["f1"]
BITS, _, PERPLEXITY = metrics_of("masked").values()


def p_of(values: np.ndarray) -> np.ndarray:
    return SignSums.of(np.asarray(values, dtype=np.float64)).p_values()


def test_scores_are_functions_of_sums() -> None:
    assert SHARE.of(np.array([[3.0, 4.0], [0.0, 0.0]]))[0] == 75
    assert np.isnan(SHARE.of(np.array([[0.0, 0.0]])))[0]
    assert F1.of(np.array([3.0, 10.0])) == 60
    assert BITS.of(np.array([8.0, 4.0, 10.0, 5.0])) == pytest.approx(4 / np.log(2))
    assert PERPLEXITY.of(np.array([8.0, 4.0])) == pytest.approx(np.exp(2))
    assert np.isfinite(PERPLEXITY.of(np.array([1e9, 1.0])))


@pytest.mark.parametrize("metric", [SHARE, F1, BITS, PERPLEXITY])
def test_gradient_is_that_of_differences(metric: Metric) -> None:
    sums = np.random.default_rng(1).uniform(2, 5, size=(3, len(metric.columns)))
    for place in range(sums.shape[1]):
        step = np.zeros_like(sums)
        step[:, place] = 1e-6
        slope = (metric.of(sums + step) - metric.of(sums - step)) / 2e-6
        np.testing.assert_allclose(metric.gradient(sums)[:, place], slope, rtol=1e-6)


def test_gradient_where_there_is_nothing_is_zero() -> None:
    assert (F1.gradient(np.zeros((2, 2))) == 0).all()
    np.testing.assert_allclose(F1.gradient(np.array([[0.0, 4.0]])), [[50.0, 0.0]])


def test_p_value_of_hits_is_the_exact_one_of_scipy() -> None:
    generator = np.random.default_rng(2)
    for gained, lost in [(0, 0), (1, 0), (5, 0), (7, 7), (12, 4), (40, 61), (300, 1)]:
        values = np.repeat([1.0, -1.0, 0.0], [gained, lost, 50]) / 7
        generator.shuffle(values)
        expected = scipy.stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert p_of(values[:, None])[0] == pytest.approx(expected, rel=1e-9)


def test_p_value_of_other_values_is_that_of_a_permutation_test() -> None:
    generator = np.random.default_rng(3)
    for shift in (0.0, 0.15, 0.3):
        values = generator.laplace(size=120) + shift

        def mean(one: np.ndarray, axis: int) -> np.ndarray:
            return np.mean(one, axis=axis)

        expected = scipy.stats.permutation_test(
            (values,), mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(4)
        ).pvalue
        assert p_of(values[:, None])[0] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("steps", [1, 2, 5, 50])
def test_p_value_of_a_dozen_sentences_is_close_to_the_exact_one(steps: int) -> None:
    generator = np.random.default_rng(steps)
    signs = 2 * ((np.arange(2**14)[:, None] >> np.arange(14)) & 1) - 1
    for _ in range(20):
        values = generator.integers(1, steps + 1, size=14) * generator.choice([-1, 1, 1], size=14) / steps
        exact = np.mean(np.abs(signs @ values) >= np.abs(values.sum()) - 1e-9)
        assert exact / 1.35 < p_of(values[:, None])[0] < exact * 4 + 0.01


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_p_value_of_few_sentences_is_never_too_small(whole: list[int]) -> None:
    values = np.array(whole) / 20
    signs = 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1) - 1
    exact = np.mean(np.abs(signs @ values) >= np.abs(values.sum()) * (1 - 1e-9) - 1e-12)
    assert p_of(values[:, None])[0] >= exact - 1e-9


def test_blocks_of_sentences_add_up() -> None:
    values = np.random.default_rng(5).normal(size=(90, 4))
    parts = SignSums.of(values[:20]) + SignSums.of(values[20:])
    np.testing.assert_allclose(parts.p_values(), p_of(values))


@pytest.mark.parametrize("kind", ["hits", "seeds", "likelihoods"])
def test_models_that_do_not_differ_are_rarely_told_apart(kind: str) -> None:
    """Type-I error: 4,000 pairs of models of equal quality that find the same sentences hard."""
    generator = np.random.default_rng(6)
    hard = generator.normal(size=(300, 1))
    if kind == "likelihoods":
        differences = generator.standard_t(4, size=(300, 4000)) * np.exp(hard / 2)
    else:
        seeds = 1 if kind == "hits" else 3
        one, other = (
            np.mean([generator.normal(size=(300, 4000)) + hard > 0.4 for _ in range(seeds)], axis=0) for _ in range(2)
        )
        differences = one - other
    rejected = np.mean(p_of(differences) < 0.05)
    # binomial p-values come in steps, so that they keep below the level
    assert 0.025 < rejected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_a_difference_that_is_there_is_found() -> None:
    generator = np.random.default_rng(7)
    differences = generator.normal(0.2, 1.0, size=(400, 500))
    assert np.mean(p_of(differences) < 0.05) > 0.95


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator, share, sentences = np.random.default_rng(8), 0.3, 300
    hits = (generator.random((sentences, 1000)) < share).astype(np.float32)
    drawn = 100 * (resampled_counts(sentences, 1000, 1).astype(np.float32) @ hits) / sentences
    low, high = percentile_interval(drawn.T)
    assert np.mean((low <= 100 * share) & (100 * share <= high)) == pytest.approx(0.95, abs=0.02)


def test_interval_of_f1_covers_the_truth() -> None:
    generator, runs, sentences = np.random.default_rng(9), 600, 250
    entities = generator.poisson(2.0, size=(sentences, runs))
    right = generator.binomial(entities, 0.6)
    predicted = right + generator.poisson(0.7, size=(sentences, runs))
    weights = resampled_counts(sentences, 1000, 2).astype(np.float32)
    sums = np.stack([weights @ part.astype(np.float32) for part in (right, entities + predicted)], axis=-1)
    low, high = percentile_interval(F1.of(sums).T)
    truth = 200 * 2.0 * 0.6 / (2.0 + 2.0 * 0.6 + 0.7)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.025)


def test_draws_are_with_replacement_and_depend_on_seed_and_place() -> None:
    counts = resampled_counts(50, 20, 3)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.max() > 1
    resampled_counts.cache_clear()
    np.testing.assert_array_equal(resampled_counts(50, 20, 3), counts)
    assert not (resampled_counts(50, 20, 3, place=1) == counts).all()
    assert not (resampled_counts(50, 20, 4) == counts).all()


def test_draws_without_a_score_do_not_count() -> None:
    low, high = percentile_interval(np.array([[np.nan, 1.0, 1.0], [np.nan] * 3, [0.0, 1.0, 2.0]]))
    np.testing.assert_allclose(low, [1.0, np.nan, 0.05])
    np.testing.assert_allclose(high, [1.0, np.nan, 1.95])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_written_out(p_values: list[float]) -> None:
    found = holm(np.array(p_values))
    largest = 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[at]))
        assert found[at] == pytest.approx(largest)
    assert (found >= np.array(p_values)).all()


def test_verdicts() -> None:
    assert verdict(3.0, 0.01) == BETTER
    assert verdict(-3.0, 0.01) == WORSE
    assert verdict(3.0, 0.05) == NO_DIFFERENCE
    assert verdict(-0.2, 0.001, lower_is_better=True) == BETTER
    assert verdict(0.2, 0.001, lower_is_better=True) == WORSE
