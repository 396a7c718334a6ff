"""Splitting training pairs into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexigraft.errors import InputError
from lexigraft.hypernetwork.sets import Integers


@dataclass(frozen=True, slots=True)
class Split:
    """Random, disjoint indices of pairs."""

    train: Integers
    validation: Integers
    test: Integers


def split_pairs(pairs: int, validation: float, test: float, seed: int) -> Split:
    """Split so many pairs; each part has at least one.

    Raises:
        InputError: fewer than 10 pairs.
    """
    if pairs < 10:
        raise InputError(
            f"only {pairs} source tokens match a word: too few to train a hypernetwork",
            hint="use word vectors that cover the source model's languages",
        )
    order = np.random.default_rng(seed).permutation(pairs)
    sizes = [max(1, round(pairs * share)) for share in (validation, test)]
    return Split(order[sum(sizes) :], order[: sizes[0]], order[sizes[0] : sum(sizes)])
