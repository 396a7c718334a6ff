"""HyperOFA's second network: a transformer over the set of a token's word vectors (arXiv 2504.21018, appendix A.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lexigraft.errors import ConfigError
from lexigraft.hypernetwork.networks import SetNetwork, head
from lexigraft.hypernetwork.settings import SetformerHypernetwork


class Setformer(SetNetwork):
    """A transformer encoder without positions, as wide as the word vectors; the mean over the words; then the head.

    The encoder is torch's own with its defaults (ReLU, LayerNorm after each residual sum). The order of the words makes no
    difference, nor does padding.
    """

    reads_order: ClassVar[bool] = False

    def __init__(self, width: int, rank: int, settings: SetformerHypernetwork) -> None:
        super().__init__()
        if width % settings.heads:
            fitting = [heads for heads in range(1, width + 1) if width % heads == 0]
            nearest = min(fitting, key=lambda heads: (abs(heads - settings.heads), heads))
            raise ConfigError(
                f"{settings.heads} attention heads do not divide word vectors of width {width}",
                where="hypernetworks, kind: setformer",
                hint=f"set `heads` to {nearest}",
            )
        self.rank = rank
        layer = nn.TransformerEncoderLayer(width, settings.heads, settings.feed_forward, settings.dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        self.head = head(width, rank, settings.dropout)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """See `SetNetwork.forward`."""
        outside = torch.arange(vectors.shape[1], device=vectors.device)[None, :] >= lengths[:, None]
        states: Tensor = self.encoder(vectors, src_key_padding_mask=outside)
        means = states.masked_fill(outside[:, :, None], 0.0).sum(dim=1) / lengths[:, None]
        rows: Tensor = self.head(means)
        return rows


NETWORK = Setformer
