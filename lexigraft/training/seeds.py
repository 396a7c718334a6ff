"""Random numbers in training: every draw follows from the seed of the run and what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(*entropy: int, bits: int = 64) -> int:
    """A seed of `bits` bits that follows from numbers: the seed of the run, the purpose, the step."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> (64 - bits)


@contextmanager
def own_generators(device: torch.device) -> Iterator[None]:
    """Seed torch's generators at will: their states are those from before again in the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
