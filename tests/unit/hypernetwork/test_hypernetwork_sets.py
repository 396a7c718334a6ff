"""Which words of a token a network reads: in training, in validation and in prediction, and in which batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from lexigraft.hypernetwork.sampling import grouped_batches, resampled
from lexigraft.hypernetwork.sets import WordSets, batches_by_length, sample_words, select_words

WORDS = 2000


def random_sets(seed: int, count: int = 50, longest: int = 30, *, weighted: bool = False) -> WordSets:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, count)
    words = np.concatenate([np.sort(rng.choice(WORDS, size, replace=False)) for size in lengths])
    weights = rng.uniform(0.1, 5.0, len(words)).astype(np.float32) if weighted else None
    return WordSets(np.concatenate([[0], np.cumsum(lengths)]), words, weights)


def words_of(sets: WordSets, item: int) -> list[int]:
    return sets.words[sets.starts[item] : sets.starts[item + 1]].tolist()


def alike(one: WordSets, other: WordSets) -> bool:
    return np.array_equal(one.starts, other.starts) and np.array_equal(one.words, other.words)


def test_sets_are_read_from_rows_of_a_matrix_in_the_order_of_words() -> None:
    matrix = csr_matrix(np.array([[0, 2.0, 0, 1.5], [1, 0, 0, 0], [0, 0, 0, 0], [3, 1, 2, 0]], dtype=np.float32))
    turned = csr_matrix((matrix.data[::-1], matrix.indices[::-1], [0, 3, 3, 4, 6]), shape=(4, 4))[np.array([3, 2, 1, 0])]
    sets = WordSets.of(turned[np.array([3, 0])], weighted=True)
    assert [words_of(sets, 0), words_of(sets, 1)] == [[0, 1, 2], [1, 3]]
    assert sets.weights is not None
    assert sets.weights.tolist() == [3, 1, 2, 2, 1.5]
    assert WordSets.of(matrix).weights is None
    part = sets.part(np.array([1, 0, 1]))
    assert [words_of(part, item) for item in range(3)] == [[1, 3], [0, 1, 2], [1, 3]]
    assert part.weights is not None
    assert part.weights.tolist() == [2, 1.5, 3, 1, 2, 2, 1.5]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), mode=st.sampled_from(["paper", "parity"]), longest=st.integers(3, 40), weighted=st.booleans()
)
def test_an_epoch_reads_subsets_of_the_sets(seed: int, mode: str, longest: int, weighted: bool) -> None:
    sets = random_sets(seed, weighted=weighted and mode == "paper")
    seen = resampled(sets, longest, mode, np.random.default_rng(seed))
    rounded = np.ceil if mode == "paper" else np.floor
    assert (seen.lengths >= 1).all()
    assert (seen.lengths <= np.minimum(sets.lengths, longest)).all()
    assert (seen.lengths >= np.minimum(rounded(0.5 * sets.lengths), longest)).all()
    for item in range(len(sets)):
        kept = words_of(seen, item)
        assert len(set(kept)) == len(kept)
        assert set(kept) <= set(words_of(sets, item))
    assert alike(seen, resampled(sets, longest, mode, np.random.default_rng(seed)))


def test_paper_shuffles_always_and_subsamples_half_of_the_sets() -> None:
    sets = random_sets(1, count=6000, longest=40)
    seen = resampled(sets, 256, "paper", np.random.default_rng(0))
    large = np.flatnonzero(sets.lengths > 8)
    in_order = np.array([np.all(np.diff(words_of(seen, item)) > 0) for item in large])
    assert in_order.mean() < 0.01
    whole = (seen.lengths == sets.lengths)[large]
    # ceil(U(0.5, 1) n) is n with a chance of 2 / n
    assert whole.mean() == pytest.approx(0.5 + 0.5 * np.mean(2 / sets.lengths[large]), abs=0.02)
    share = (seen.lengths / sets.lengths)[large][~whole]
    assert share.min() >= 0.5
    assert share.mean() == pytest.approx(0.75, abs=0.03)


def test_parity_touches_half_of_the_sets_with_more_than_four_words_and_cuts_the_others() -> None:
    sets = random_sets(2, count=6000, longest=40)
    seen = resampled(sets, 256, "parity", np.random.default_rng(0))
    small, large = np.flatnonzero(sets.lengths <= 4), np.flatnonzero(sets.lengths > 8)
    assert all(words_of(seen, item) == words_of(sets, item) for item in small)
    untouched = np.array([words_of(seen, item) == words_of(sets, item) for item in large])
    assert untouched.mean() == pytest.approx(0.5, abs=0.03)
    touched = large[~untouched]
    shuffled = np.array([not np.all(np.diff(words_of(seen, item)) > 0) for item in touched])
    assert shuffled.mean() > 0.95
    share = (seen.lengths / sets.lengths)[touched]
    # the published runs round down: floor(U(0.5, 1) n)
    assert share.mean() == pytest.approx(0.75 - 0.5 * np.mean(1 / sets.lengths[touched]), abs=0.02)
    cut = resampled(sets, 6, "parity", np.random.default_rng(0))
    long = np.flatnonzero((sets.lengths > 12) & (seen.lengths == sets.lengths))
    first = np.array([words_of(cut, item) == words_of(sets, item)[:6] for item in long])
    assert first.all()
    elsewhere = [item for item in touched if sets.lengths[item] > 12]
    assert np.mean([words_of(cut, item) == words_of(sets, item)[:6] for item in elsewhere]) < 0.01
    beyond = np.mean([max(words_of(cut, item)) > words_of(sets, item)[5] for item in elsewhere])
    assert beyond > 0.9  # a random part of the whole set, not of its first words


def test_every_word_of_a_long_set_is_read_equally_often() -> None:
    sets = WordSets(np.array([0, 10]), np.arange(10))
    counts, first, rng = np.zeros(10), np.zeros(10), np.random.default_rng(0)
    for _ in range(3000):
        seen = resampled(sets, 4, "paper", rng)
        counts[seen.words] += 1
        first[seen.words[0]] += 1
    np.testing.assert_allclose(counts / 3000, 0.4, atol=0.04)
    np.testing.assert_allclose(first / 3000, 0.1, atol=0.03)


def draw_probabilities(weights: np.ndarray, size: int) -> np.ndarray:
    """Exact chance of each item to be among `size` drawn one after another in proportion to weight."""

    def go(left: frozenset[int], size: int) -> np.ndarray:
        chance = np.zeros(len(weights))
        if size:
            total = sum(weights[item] for item in left)
            for item in left:
                after = go(left - {item}, size - 1)
                after[item] = 1
                chance += weights[item] / total * after
        return chance

    return go(frozenset(range(len(weights))), size)


def test_words_with_weights_are_drawn_by_weight_and_read_in_any_order() -> None:
    weights = np.array([0.01, 0.5, 1.0, 2.0, 120.0], dtype=np.float32)
    sets, draws = WordSets(np.arange(0, 30_001, 5), np.tile(np.arange(5), 6000), np.tile(weights, 6000)), 6000
    # as training draws, every pair by itself
    seen = resampled(sets, 2, "paper", np.random.default_rng(0))
    counts = np.bincount(seen.words, minlength=5) / draws
    np.testing.assert_allclose(counts, draw_probabilities(weights, 2), atol=0.02)
    # the heaviest is drawn nearly always, but it does not always come first
    assert 0.45 < np.mean(seen.words[seen.starts[:-1]] == 4) < 0.55
    # as prediction draws, one draw after another
    one = WordSets(np.array([0, 5]), np.arange(5), weights)
    found = [sample_words(one, 2, 5, 7, draw) for draw in range(2000)]
    counts = np.bincount(np.concatenate([sets.words for sets in found]), minlength=5) / 2000
    np.testing.assert_allclose(counts, draw_probabilities(weights, 2), atol=0.035)


def test_prediction_reads_the_heaviest_words() -> None:
    weights = np.array([1, 3, 3, 2, 3, 5, 1, 1], dtype=np.float32)
    sets = WordSets(np.array([0, 6, 8]), np.array([10, 11, 12, 13, 14, 15, 20, 21]), weights)
    kept = select_words(sets, 3, "paper", 30, 1)
    assert [words_of(kept, 0), words_of(kept, 1)] == [[11, 12, 15], [20, 21]]
    rng = np.random.default_rng(0)
    sets = random_sets(4, weighted=True)
    kept = select_words(sets, 7, "paper", WORDS, 1)
    assert sets.weights is not None
    for item in rng.integers(len(sets), size=20):
        own = sets.weights[sets.starts[item] : sets.starts[item + 1]]
        best = np.sort(np.argsort(-own, kind="stable")[:7])
        assert words_of(kept, item) == [words_of(sets, item)[place] for place in best]


@pytest.mark.parametrize("sampling", ["paper", "parity"])
def test_prediction_reads_the_same_words_whatever_else_is_predicted(sampling: str) -> None:
    sets = random_sets(3, count=80)
    kept = select_words(sets, 5, sampling, WORDS, 1)
    assert (kept.lengths == np.minimum(sets.lengths, 5)).all()
    some = np.array([40, 3, 77])
    assert alike(select_words(sets.part(some), 5, sampling, WORDS, 1), kept.part(some))
    if sampling == "parity":
        assert all(words_of(kept, item) == words_of(sets, item)[:5] for item in range(len(sets)))
    else:
        assert not alike(select_words(sets, 5, sampling, WORDS, 2), kept)
        assert all(np.all(np.diff(words_of(kept, item)) > 0) for item in range(len(sets)))
        assert any(words_of(kept, item) != words_of(sets, item)[:5] for item in range(len(sets)))
    draw = sample_words(sets, 5, WORDS, 1, 2)
    assert alike(sample_words(sets.part(some), 5, WORDS, 1, 2), draw.part(some))
    assert not alike(sample_words(sets, 5, WORDS, 1, 3), draw)


def test_training_batches_hold_every_item_once_and_similar_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 256, 5000)
    batches = list(grouped_batches(lengths, 64, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(5000))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.2 * lengths.sum()
    # shuffled first: a batch is not a run of the items sorted by length
    assert np.std([lengths[batch].min() for batch in batches[:10]]) > 20


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), budget=st.integers(1, 400), most=st.integers(1, 20))
def test_prediction_batches_hold_every_item_once_within_the_budget(seed: int, budget: int, most: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 60, 200)
    batches = list(batches_by_length(lengths, budget, most))
    assert sorted(np.concatenate(batches)) == list(range(200))
    for batch in batches:
        assert len(batch) <= most
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


def test_padded_batches_hold_the_words_and_zeros() -> None:
    sets = random_sets(5)
    padded, lengths = sets.padded(np.array([7, 2]))
    for row, item in enumerate((7, 2)):
        assert padded[row, : lengths[row]].tolist() == words_of(sets, item)
        assert not padded[row, lengths[row] :].any()
