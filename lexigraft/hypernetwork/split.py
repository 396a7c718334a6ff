"""Splitting training pairs into training, validation and test parts."""

from __future__ import annotations

import numpy as np

from lexigraft.errors import InputError
from lexigraft.hypernetwork.sets import Integers


def split_pairs(pairs: int, validation: float, test: float, seed: int) -> tuple[Integers, Integers, Integers]:
    """Random indices of the three parts; validation and test have at least one pair each.

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
    return order[sum(sizes) :], order[: sizes[0]], order[sizes[0] : sum(sizes)]
