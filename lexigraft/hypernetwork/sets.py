"""Sets of matched words, and which of them are read if a set has too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Keys = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WordSets:
    """The matched words of some tokens, in CSR form: token i has `words[starts[i]:starts[i + 1]]`.

    Attributes:
        starts: (N + 1,) where each token's words begin.
        words: (pairs,) rows of the word vectors.
        weights: (pairs,) above 0, how much each word counts for its token; None where all count the same.
    """

    starts: Integers
    words: Integers
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Integers:
        """(N,) number of words of each token."""
        return np.diff(self.starts)

    @classmethod
    def of(cls, evidence: csr_matrix, *, weighted: bool = False) -> WordSets:
        """Sets of the rows of a (tokens, words) matrix, in the order of the words; its values count only if `weighted`."""
        rows = evidence.sorted_indices()
        weights = rows.data.astype(np.float32) if weighted else None
        return cls(rows.indptr.astype(np.int64), rows.indices.astype(np.int64), weights)

    def part(self, items: Integers) -> WordSets:
        """The sets of `items`, in their order."""
        lengths = self.lengths[items]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return self._select(np.arange(starts[-1]) + np.repeat(self.starts[items] - starts[:-1], lengths), lengths)

    def first(self, max_words: int) -> WordSets:
        """The first `max_words` of each set."""
        sizes = np.minimum(self.lengths, max_words)
        return self._select(np.flatnonzero(self._among_first(sizes)), sizes)

    def heaviest(self, max_words: int) -> WordSets:
        """The `max_words` of each set with the largest weights, of equal ones the first, in their order in the set."""
        assert self.weights is not None
        sizes = np.minimum(self.lengths, max_words)
        ranked = np.lexsort((-self.weights, self._rows()))
        return self._select(np.sort(ranked[self._among_first(sizes)]), sizes)

    def smallest(self, keys: Keys, sizes: Integers, order: Keys | None = None) -> WordSets:
        """The `sizes[i]` words of set i with the smallest keys.

        Args:
            keys: (pairs,) numbers in [0, 1).
            sizes: (N,) how many words of each set, at most all of them.
            order: (pairs,) numbers in [0, 1) by which the words of a set are then sorted; None leaves them in their
                order in the set.
        """
        # the number of the set makes one sortable number of both: many times faster than sorting by two keys
        ranked = np.argsort(self._rows() + keys)
        chosen = ranked[self._among_first(sizes)]
        if order is None:
            chosen = np.sort(chosen)
        elif order is not keys:
            chosen = chosen[np.argsort(np.repeat(np.arange(len(self)), sizes) + order[chosen])]
        return self._select(chosen, sizes)

    def draw_keys(self, uniform: Keys) -> Keys:
        """Keys in [0, 1) whose `smallest` are a random draw without replacement, by weight where there are weights.

        With weights, words are drawn one after the other, each with a probability in proportion to its weight among those that
        remain (Efraimidis and Spirakis 2006, https://doi.org/10.1016/j.ipl.2005.11.003: the smallest of -log(u) / weight).
        `uniform` are (pairs,) independent draws u from [0, 1).
        """
        if self.weights is None:
            return uniform
        waiting = -np.log1p(-uniform) / self.weights
        return np.asarray(waiting / (1 + waiting))

    def padded(self, items: Integers) -> tuple[Integers, Integers]:
        """Word indices of `items` as (len(items), longest) padded with 0, and their lengths."""
        lengths = self.lengths[items]
        offsets = np.arange(int(lengths.max()))
        inside = offsets[None, :] < lengths[:, None]
        positions = np.where(inside, self.starts[items][:, None] + offsets[None, :], 0)
        return np.where(inside, self.words[positions], 0), lengths

    def _rows(self) -> Integers:
        return np.repeat(np.arange(len(self)), self.lengths)

    def _among_first(self, sizes: Integers) -> NDArray[np.bool_]:
        """Mask over pairs sorted by set: those that come among the first `sizes[i]` of their set."""
        place = np.arange(len(self.words)) - np.repeat(self.starts[:-1], self.lengths)
        return np.asarray(place < np.repeat(sizes, self.lengths))

    def _select(self, pairs: Integers, sizes: Integers) -> WordSets:
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return WordSets(starts, self.words[pairs], None if self.weights is None else self.weights[pairs])


def select_words(sets: WordSets, max_words: int, sampling: str, words: int, seed: int) -> WordSets:
    """The words that validation and prediction read, the same every time.

    Of sets with more than `max_words`: the heaviest if words have weights; under `parity` the first; else random ones, which
    depend on the seed and the set alone, not on other sets; `words` is the number of all words, in this set or not.
    """
    if sets.weights is not None:
        return sets.heaviest(max_words)
    if sampling == "parity":
        return sets.first(max_words)
    keys = np.random.default_rng([seed, 0]).random(words)[sets.words]
    return sets.smallest(keys, np.minimum(sets.lengths, max_words))


def sample_words(sets: WordSets, max_words: int, words: int, seed: int, draw: int) -> WordSets:
    """Sample number `draw` (from 0) of at most `max_words` of each set, by weight where words have weights, in random order.

    It depends on the seed, the number of the draw and the set alone; `words` is the number of all words, in this set or not.
    """
    rng = np.random.default_rng([seed, 1, draw])
    keys, order = rng.random(words)[sets.words], rng.random(words)[sets.words]
    return sets.smallest(sets.draw_keys(keys), np.minimum(sets.lengths, max_words), order)


def batches_by_length(lengths: Integers, budget: int, most: int = 4096) -> Iterator[Integers]:
    """All items by falling length in batches of at most `most` items and `budget` padded words (always one item)."""
    order, start = np.argsort(-lengths, kind="stable"), 0
    while start < len(order):
        size = min(most, max(1, budget // int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
