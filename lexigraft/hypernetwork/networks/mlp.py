"""The hypernetwork inside `graft`: an MLP on a token's mean word vector (docs/methods.md, section 12)."""

from __future__ import annotations

from torch import Tensor, nn

from lexigraft.hypernetwork.settings import MLPHypernetwork


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


NETWORK = SkipMLP
