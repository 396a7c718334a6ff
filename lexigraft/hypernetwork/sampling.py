"""What varies from epoch to epoch of training on word sets: the words of a set, and the batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lexigraft.hypernetwork.sets import Integers, WordSets

_GROUPED_BATCHES = 40
_SMALL_SET = 4


def resampled(sets: WordSets, max_words: int, mode: str, rng: np.random.Generator) -> WordSets:
    """One epoch's view of the sets (HyperOFA section 3.3, regularization).

    `paper`: words are shuffled, sets that are too long are sampled, and with probability 0.5 only a random 50-100 % of the
    words are read; words with weights are drawn by weight. `parity` (the published runs): both only for half of
    the sets with more than 4 words; all others keep their order and lose what comes after `max_words`.
    """
    lengths = sets.lengths
    keys, half = rng.random(len(sets.words)), rng.random(len(sets)) < 0.5
    share = rng.uniform(0.5, 1.0, len(sets))
    if mode == "parity":
        half &= lengths > _SMALL_SET
        # evenly spaced keys leave a set as it is
        keys = np.where(np.repeat(half, lengths), keys, np.arange(len(sets.words)) / max(len(sets.words), 1))
        wanted = np.where(half, np.floor(share * lengths), lengths)
        order = keys
    else:
        wanted = np.where(half, np.ceil(share * lengths), lengths)
        order = keys if sets.weights is None else rng.random(len(sets.words))
        keys = sets.draw_keys(keys)
    return sets.smallest(keys, np.clip(wanted, 1, max_words).astype(np.int64), order)


def grouped_batches(lengths: Integers, batch_size: int, rng: np.random.Generator) -> Iterator[Integers]:
    """Batches of similar length in random order: shuffle, sort by length within groups of 40 batches, shuffle the batches."""
    order = rng.permutation(len(lengths))
    group = _GROUPED_BATCHES * batch_size
    sorted_groups = [part[np.argsort(lengths[part], kind="stable")] for part in chunks(order, group)]
    batches = [batch for part in sorted_groups for batch in chunks(part, batch_size)]
    for index in rng.permutation(len(batches)):
        yield batches[index]


def chunks(items: Integers, size: int) -> list[Integers]:
    """`items` in pieces of `size`; the last one may be shorter."""
    return [items[first : first + size] for first in range(0, len(items), size)]
