"""The hypernetwork inside `graft`: an MLP on a token's mean word vector (docs/methods.md, section 12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lexigraft.hypernetwork.settings import MLPHypernetwork

Floats = NDArray[np.float32]
_BLOCK_ROWS = 1 << 16


class SkipMLP(nn.Module):
    """width -> hidden -> hidden -> D' with GELU and dropout, plus a linear map of the input."""

    def __init__(self, width: int, rank: int, settings: MLPHypernetwork) -> None:
        super().__init__()
        hidden, dropout = settings.hidden, settings.dropout
        self.body = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, rank),
        )
        self.skip = nn.Linear(width, rank)

    def forward(self, vectors: Tensor) -> Tensor:
        """Scaled coordinates (batch, D') of scaled mean word vectors (batch, width)."""
        rows: Tensor = self.body(vectors) + self.skip(vectors)
        return rows


def scaled(vectors: Floats) -> Floats:
    """Rows scaled to norm sqrt(width), so that components are about 1; made in blocks, as there can be millions."""
    rows = np.empty(vectors.shape, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        norms = np.linalg.norm(block, axis=1, keepdims=True)
        rows[start : start + len(block)] = block / np.maximum(norms, 1e-12) * np.sqrt(vectors.shape[1])
    return rows
