"""Sets of matched words as batches of padded index arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Integers = NDArray[np.int64]
_GROUPED_BATCHES = 40
_SMALL_SET = 4


@dataclass(frozen=True, slots=True)
class WordSets:
    """The matched words of some tokens, in CSR form: token i has `words[starts[i]:starts[i + 1]]`."""

    starts: Integers
    words: Integers

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Integers:
        """(N,) number of words of each token."""
        return np.diff(self.starts)

    @classmethod
    def of(cls, matches: csr_matrix, tokens: Integers) -> WordSets:
        """Sets of `tokens`, rows of a (V, words) matrix; multiplicities do not count."""
        rows = matches[tokens]
        return cls(rows.indptr.astype(np.int64), rows.indices.astype(np.int64))

    def capped(self, max_words: int, seed: int) -> WordSets:
        """At most `max_words` of each set: the same random ones for the same seed, in the order they stand."""
        keys = np.random.default_rng(seed).random(len(self.words))
        return self._first(self._order(keys), np.minimum(self.lengths, max_words), keep_order=True)

    def truncated(self, max_words: int) -> WordSets:
        """The first `max_words` of each set."""
        return self._first(np.arange(len(self.words)), np.minimum(self.lengths, max_words), keep_order=True)

    def resampled(self, max_words: int, mode: str, rng: np.random.Generator) -> WordSets:
        """One epoch's view of the sets (HyperOFA section 3.3, regularisation).

        `paper`: words are shuffled, sets that are too long are sampled, and with probability 0.5 only a random 50-100 % of
        the words are taken. `parity` (the published runs): both only for half of the sets, those with more than 4 words; all
        others keep their order and lose what comes after `max_words`.
        """
        lengths = self.lengths
        keys = rng.random(len(self.words))
        share = np.where(rng.random(len(self)) < 0.5, rng.uniform(0.5, 1.0, len(self)), 1.0)
        if mode == "parity":
            touched = (rng.random(len(self)) < 0.5) & (lengths > _SMALL_SET)
            share = np.where(touched, rng.uniform(0.5, 1.0, len(self)), 1.0)
            in_order = np.arange(len(self.words)) / max(len(self.words), 1)
            keys = np.where(np.repeat(touched, lengths), keys, in_order)
        kept = np.minimum(np.maximum(1, np.ceil(share * lengths)).astype(np.int64), np.minimum(lengths, max_words))
        return self._first(self._order(keys), kept, keep_order=False)

    def _order(self, keys: NDArray[np.float64]) -> Integers:
        rows = np.repeat(np.arange(len(self)), self.lengths)
        return np.lexsort((keys, rows))

    def _first(self, order: Integers, kept: Integers, *, keep_order: bool) -> WordSets:
        """The first `kept[i]` words of every set in `order`, which sorts within the sets only."""
        place = np.arange(len(order)) - np.repeat(self.starts[:-1], self.lengths)
        chosen = order[place < np.repeat(kept, self.lengths)]
        if keep_order:
            chosen = np.sort(chosen)
        return WordSets(np.concatenate([[0], np.cumsum(kept)]), self.words[chosen])

    def padded(self, items: Integers) -> tuple[Integers, Integers]:
        """Word indices of `items` as (len(items), longest) padded with 0, and their lengths."""
        lengths = self.lengths[items]
        offsets = np.arange(int(lengths.max()))
        inside = offsets[None, :] < lengths[:, None]
        positions = np.where(inside, self.starts[items][:, None] + offsets[None, :], 0)
        return np.where(inside, self.words[positions], 0), lengths


def grouped_batches(lengths: Integers, batch_size: int, rng: np.random.Generator) -> Iterator[Integers]:
    """Batches of similar length in random order: shuffle, sort by length within groups of 40 batches, shuffle the batches."""
    order = rng.permutation(len(lengths))
    group = _GROUPED_BATCHES * batch_size
    sorted_groups = [part[np.argsort(lengths[part], kind="stable")] for part in _chunks(order, group)]
    batches = [batch for part in sorted_groups for batch in _chunks(part, batch_size)]
    for index in rng.permutation(len(batches)):
        yield batches[index]


def sorted_batches(lengths: Integers, batch_size: int) -> Iterator[Integers]:
    """All items by falling length in batches: for prediction, where order does not matter."""
    yield from _chunks(np.argsort(-lengths, kind="stable"), batch_size)


def _chunks(items: Integers, size: int) -> list[Integers]:
    return [items[first : first + size] for first in range(0, len(items), size)]
