"""Word embeddings E = F P as two modules that share their parameters: the input table and the output layer.

F, the coordinates, is (V, D'); P, the primitive embeddings, is (D', D). OFA (Liu et al. 2024) and HyperOFA (arXiv 2504.21018,
section 3.1) keep both through training, so that a large vocabulary costs D' and not D numbers a token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FactorizedEmbedding(nn.Module):
    """Look tokens up in E = F P without ever building E.

    Attributes:
        coordinates: F, (V, D') parameter.
        primitives: P, (D', D) parameter.
        padding_idx: token whose row of F gets no gradient from lookups, as in `torch.nn.Embedding`; None for no such token.
    """

    def __init__(self, num_embeddings: int, rank: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx {padding_idx} is not one of {num_embeddings} tokens")
        self.num_embeddings, self.rank, self.embedding_dim, self.padding_idx = num_embeddings, rank, embedding_dim, padding_idx
        self.coordinates = nn.Parameter(torch.empty(num_embeddings, rank))
        self.primitives = nn.Parameter(torch.empty(rank, embedding_dim))
        self.reset_parameters(1.0)

    def reset_parameters(self, std: float) -> None:
        """Draw F and P such that the entries of F P have standard deviation `std`; the padding row is zero."""
        nn.init.normal_(self.coordinates, std=self.rank**-0.5)
        nn.init.normal_(self.primitives, std=std)
        # inside from_pretrained torch's functions leave loaded parameters alone, but a slice does not carry the mark
        if self.padding_idx is not None and not getattr(self.coordinates, "_is_hf_initialized", False):
            with torch.no_grad():
                self.coordinates[self.padding_idx].zero_()

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return (..., D) embeddings of (...) integer ids."""
        return functional.embedding(input_ids, self.coordinates, self.padding_idx) @ self.primitives

    def extra_repr(self) -> str:
        """Sizes, as printed with the model."""
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}, padding_idx={self.padding_idx}"


class FactorizedDecoder(nn.Module):
    """The output layer: logits = (x P^T) F^T + bias.

    F and P are tied to those of the embedding by `tie_weights` of transformers, which from_pretrained calls after loading: were
    they one parameter from the start, it would take tables that a checkpoint lacks for tied, and leave them without memory.

    Attributes:
        coordinates, primitives: F and P, of the embedding's shapes.
        bias: (V,) parameter; None in a ModernBERT without one.
    """

    def __init__(self, embedding: FactorizedEmbedding, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.coordinates = nn.Parameter(torch.empty_like(embedding.coordinates))
        self.primitives = nn.Parameter(torch.empty_like(embedding.primitives))
        self.bias = bias

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., V) logits of (..., D) hidden states."""
        return functional.linear(functional.linear(hidden, self.primitives), self.coordinates, self.bias)

    def extra_repr(self) -> str:
        """Sizes, as printed with the model."""
        return f"{self.primitives.shape[1]}, {self.coordinates.shape[0]}, rank={self.primitives.shape[0]}"
