"""What networks over the set of a token's word vectors share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


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
