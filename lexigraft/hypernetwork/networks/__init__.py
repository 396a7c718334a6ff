"""Architectures of hypernetworks: what `predict` needs to rebuild a trained one, and nothing of training.

One file each, named after its `kind` in the settings. A rule adds the file that its job uses to the digest of the code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

from torch import Tensor, nn


def network_of(settings: Any, width: int, rank: int) -> Any:
    """An untrained network for word vectors of `width` and coordinates of width `rank`.

    Raises:
        ConfigError: the settings do not fit the width of the word vectors.
    """
    return import_module(f"{__name__}.{settings.kind}").NETWORK(width, rank, settings)


class SetNetwork(nn.Module, ABC):
    """(sets of word vectors) -> coordinates.

    Attributes:
        reads_order: whether the order of the words makes a difference.
        rank: D', width of the coordinates.
    """

    reads_order: ClassVar[bool]
    rank: int

    @abstractmethod
    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Coordinates (batch, D') from padded word vectors (batch, longest, width) and lengths (batch,), at least 1."""


def head(width: int, rank: int, dropout: float) -> nn.Sequential:
    """Linear-GELU-Dropout-Linear from a set's representation to its coordinates (HyperOFA section 3.2)."""
    return nn.Sequential(nn.Linear(width, 2 * rank), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * rank, rank))
