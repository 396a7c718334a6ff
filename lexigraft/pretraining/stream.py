"""The order in which sequences are seen: languages in fixed shares, shuffled over the shards and within a buffer.

The order follows from seed and position alone, so a resumed run needs nothing but its position, and any process can read any
part of it. An epoch draws a fixed number of sequences of each language. It is cut into buffers, every language with its share
of each buffer: consecutive sequences in a random order of blocks, which is drawn again each time that the language is through.
The buffer is shuffled as a whole. So reading is nearly sequential within blocks, and memory is bounded by a buffer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_BLOCKS, _BUFFERS = range(2)  # purposes of a seed, mixed into it


@dataclass(frozen=True)
class Stream:
    """An endless stream of sequences.

    Attributes:
        sizes: training sequences of each language.
        drawn: how many of each an epoch draws; if equal to `sizes`, every sequence once.
        seed: of the order.
        buffer: sequences that are shuffled together, at least 1.
        block: adjacent sequences of a language that stay together until the buffer is shuffled, at least 1.
    """

    sizes: tuple[int, ...]
    drawn: tuple[int, ...]
    seed: int
    buffer: int = 1 << 16
    block: int = 1 << 8

    @property
    def epoch(self) -> int:
        """Sequences in an epoch."""
        return sum(self.drawn)

    @property
    def _buffers(self) -> int:
        return -(-self.epoch // self.buffer)

    def at(self, first: int, count: int) -> tuple[Integers, Integers]:
        """Languages (indices) and ranks among their training sequences, (count,) each, of positions first, first + 1, …"""
        languages, ranks = np.empty(count, np.int64), np.empty(count, np.int64)
        done = 0
        while done < count:
            epoch, place = divmod(first + done, self.epoch)
            number, start = self._find(place)
            in_buffer = self._buffer(epoch, number)
            taken = min(len(in_buffer[0]) - (place - start), count - done)
            for array, values in zip((languages, ranks), in_buffer, strict=True):
                array[done : done + taken] = values[place - start : place - start + taken]
            done += taken
        return languages, ranks

    def counts(self, position: int) -> Integers:
        """(languages,) exact number of sequences of each language before `position`."""
        epoch, place = divmod(position, self.epoch)
        number, start = self._find(place)
        within = np.bincount(self._buffer(epoch, number)[0][: place - start], minlength=len(self.sizes))
        counts: Integers = epoch * np.array(self.drawn) + self._up_to(number) + within
        return counts

    def _up_to(self, number: int) -> Integers:
        """(languages,) sequences in the buffers before buffer `number` of an epoch."""
        counts: Integers = np.array(self.drawn, np.int64) * number // self._buffers
        return counts

    def _find(self, place: int) -> tuple[int, int]:
        """Buffer of a place in an epoch, and the buffer's first place."""
        number = bisect_right(range(self._buffers), place, key=lambda buffer: int(self._up_to(buffer).sum())) - 1
        return number, int(self._up_to(number).sum())

    @lru_cache(maxsize=4)  # noqa: B019 - a stream lives as long as the process
    def _buffer(self, epoch: int, number: int) -> tuple[Integers, Integers]:
        start, stop = self._up_to(number), self._up_to(number + 1)
        parts = [
            self._ranks(language, epoch * self.drawn[language] + int(start[language]), int(stop[language] - start[language]))
            for language in range(len(self.sizes))
        ]
        languages = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        order = np.random.default_rng([self.seed, _BUFFERS, epoch, number]).permutation(len(languages))
        return languages[order], np.concatenate(parts)[order]

    def _ranks(self, language: int, first: int, count: int) -> Integers:
        """Ranks at places first, first + 1, … of the endless stream of one language."""
        size = self.sizes[language]
        places = np.arange(first, first + count)
        ranks = np.empty(count, np.int64)
        for turn in np.unique(places // size):
            inside = places // size == turn
            starts, ends = self._blocks(language, int(turn))
            at = places[inside] % size
            block = np.searchsorted(ends, at, side="right")
            lengths = np.diff(ends, prepend=0)
            ranks[inside] = starts[block] + at - (ends[block] - lengths[block])
        return ranks

    @lru_cache(maxsize=256)  # noqa: B019
    def _blocks(self, language: int, turn: int) -> tuple[Integers, Integers]:
        """First rank of each block in the order of a turn through a language, and where each ends in that order."""
        size = self.sizes[language]
        order = np.random.default_rng([self.seed, _BLOCKS, language, turn]).permutation(-(-size // self.block))
        starts = order * self.block
        return starts, np.cumsum(np.minimum(starts + self.block, size) - starts)


def shares(sizes: Sequence[int], exponent: float) -> tuple[int, ...]:
    """Sequences that an epoch draws of each language: p ~ n^exponent, as many in total as there are; at least 1 each.

    With exponent 1 every sequence is drawn once. Sampling of languages as in XLM-R (Conneau et al. 2020, section 3.1,
    https://aclanthology.org/2020.acl-main.747), with numbers of sequences instead of sentences.
    """
    if exponent == 1.0:
        return tuple(sizes)
    weights = np.array(sizes, np.float64) ** exponent
    drawn = np.maximum(np.rint(sum(sizes) * weights / weights.sum()), 1.0)
    return tuple(int(count) for count in drawn)
