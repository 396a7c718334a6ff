"""HyperOFA's network: a BiLSTM over the set of a token's word vectors (arXiv 2504.21018, section 3.2, Table 6)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lexigraft.hypernetwork.networks import SetNetwork, head
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork


class BiLSTM(SetNetwork):
    """The last layer's two final hidden states, concatenated, then the head.

    The two directions are separate LSTMs over the padded batch, the backward one over each sequence reversed within its
    length. That is the packed bidirectional `nn.LSTM`, whose gradient on a CPU takes time that grows with the square of the
    length (every time step's slice of the packed batch is padded to the whole of it).
    """

    reads_order: ClassVar[bool] = True

    def __init__(self, width: int, rank: int, settings: BiLSTMHypernetwork) -> None:
        super().__init__()
        self.rank = rank
        hidden = settings.hidden
        widths = [width] + [2 * hidden] * (settings.layers - 1)
        self.onward = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in widths)
        self.backward_ = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in widths)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = head(2 * hidden, rank, settings.dropout)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """See `SetNetwork.forward`."""
        places = torch.arange(vectors.shape[1], device=vectors.device)[None, :]
        mirrored = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)[:, :, None]
        last = (lengths - 1)[:, None, None]
        ahead, behind = vectors, torch.take_along_dim(vectors, mirrored, dim=1)
        for layer, (onward, backward) in enumerate(zip(self.onward, self.backward_, strict=True)):
            if layer:
                # the two outputs are in opposite orders; each direction reads both in its own
                both = self.dropout(torch.cat([ahead, torch.take_along_dim(behind, mirrored, dim=1)], dim=2))
                ahead, behind = both, torch.take_along_dim(both, mirrored, dim=1)
            ahead, behind = _hidden_states(onward, ahead), _hidden_states(backward, behind)
        final = [torch.take_along_dim(states, last, dim=1)[:, 0] for states in (ahead, behind)]
        rows: Tensor = self.head(torch.cat(final, dim=1))
        return rows


def _hidden_states(lstm: nn.Module, inputs: Tensor) -> Tensor:
    """Hidden states (batch, longest, hidden) of an LSTM of one layer and direction; in the type of autocast, if it is on."""
    device = inputs.device.type
    if not torch.is_autocast_enabled(device):
        states: Tensor = lstm(inputs)[0]
        return states
    # autocast knows cuDNN's LSTM in float16 only, whose small gradients would need scaling
    dtype = torch.get_autocast_dtype(device)
    with torch.autocast(device, enabled=False):
        weights = [parameter.to(dtype) for parameter in lstm.parameters()]
        zeros = torch.zeros(1, len(inputs), weights[1].shape[1], dtype=dtype, device=inputs.device)
        return torch.lstm(inputs.to(dtype), [zeros, zeros], weights, True, 1, 0.0, lstm.training, False, True)[0]


NETWORK = BiLSTM
