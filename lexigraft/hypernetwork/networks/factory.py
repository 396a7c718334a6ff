"""The network that settings ask for."""

from __future__ import annotations

from lexigraft.hypernetwork.networks.base import SetNetwork
from lexigraft.hypernetwork.networks.bilstm import BiLSTM
from lexigraft.hypernetwork.networks.setformer import Setformer
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, SetSettings


def set_network(settings: SetSettings, width: int, rank: int) -> SetNetwork:
    """An untrained network for word vectors of `width` and coordinates of width `rank`.

    Raises:
        ConfigError: the settings do not fit the width of the word vectors.
    """
    if isinstance(settings, BiLSTMHypernetwork):
        return BiLSTM(width, rank, settings)
    return Setformer(width, rank, settings)
