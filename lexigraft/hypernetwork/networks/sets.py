"""Networks over the set of a token's word vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from lexigraft.errors import ConfigError
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, SetSettings


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


def set_network(settings: SetSettings, width: int, rank: int) -> SetNetwork:
    """An untrained network for word vectors of `width` and coordinates of width `rank`.

    Raises:
        ConfigError: the settings do not fit the width of the word vectors.
    """
    if isinstance(settings, BiLSTMHypernetwork):
        from lexigraft.hypernetwork.networks.bilstm import BiLSTM

        return BiLSTM(width, rank, settings)
    from lexigraft.hypernetwork.networks.setformer import Setformer

    if width % settings.heads:
        fitting = [heads for heads in range(1, width + 1) if width % heads == 0]
        nearest = min(fitting, key=lambda heads: (abs(heads - settings.heads), heads))
        raise ConfigError(
            f"{settings.heads} attention heads do not divide word vectors of width {width}",
            where="hypernetworks, kind: setformer",
            hint=f"set `heads` to {nearest}",
        )
    return Setformer(width, rank, settings)
