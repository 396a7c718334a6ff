"""Models with word embeddings E = F P, as two modules that share their parameters: the input table and the output layer.

F, the coordinates, is (V, D'); P, the primitive embeddings, is (D', D). OFA (Liu et al. 2024) and HyperOFA (arXiv 2504.21018,
section 3.1) keep both through training, so that a large vocabulary costs D' and not D numbers per token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization
from transformers.utils.output_capturing import _CAN_RECORD_REGISTRY

from lexigraft.errors import InputError


class FactorizedEmbedding(nn.Module):
    """Look tokens up in E = F P without ever building E.

    Attributes:
        coordinates: F, (V, D') parameter.
        primitives: P, (D', D) parameter.
        padding_idx: token whose row of F gets no gradient from lookups, as in `torch.nn.Embedding`; None for no such token.
    """

    def __init__(self, num_embeddings: int, dim: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx {padding_idx} is not one of {num_embeddings} tokens")
        self.num_embeddings, self.dim, self.embedding_dim, self.padding_idx = num_embeddings, dim, embedding_dim, padding_idx
        self.coordinates = nn.Parameter(torch.empty(num_embeddings, dim))
        self.primitives = nn.Parameter(torch.empty(dim, embedding_dim))
        self.reset_parameters(1.0)

    def reset_parameters(self, std: float) -> None:
        """Draw F and P such that the entries of F P have standard deviation `std`; the padding row is zero."""
        nn.init.normal_(self.coordinates, std=self.dim**-0.5)
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
        return f"{self.num_embeddings}, {self.embedding_dim}, dim={self.dim}, padding_idx={self.padding_idx}"


class FactorizedDecoder(nn.Module):
    """The output layer: logits = (x P^T) F^T + bias.

    F and P are tied to those of the embedding by `tie_weights` of transformers, which from_pretrained calls after loading: were
    they one parameter from the start, it would take tables that a checkpoint lacks for tied, and leave them without memory.

    Attributes:
        coordinates, primitives: F and P, of the embedding's shapes.
        bias: (V,) parameter, or None.
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
        return f"{self.primitives.shape[1]}, {self.coordinates.shape[0]}, dim={self.primitives.shape[0]}"


class Factorized:
    """Mixed into a class of transformers, before it: F and P take the place of the word embeddings and of the output layer.

    A derived class has as attributes `factorized_class`, which returns the class of an inner model with factorized embeddings,
    and `initializes_tables` of its family.
    """

    def post_init(self: Any) -> None:
        """Replace the tables, then do what transformers does at the end of building a model: initialize and tie weights."""
        encoder = self.base_model
        if not isinstance(encoder, Factorized):
            # transformers initializes the modules of an inner model by that model's class, so it must know F and P as well
            encoder.__class__ = self.factorized_class(encoder.__class__)
            # what `output_hidden_states` and `output_attentions` record is known by class, and was noted for the plain one
            _CAN_RECORD_REGISTRY[encoder] = encoder._can_record_outputs
        plain = self.get_input_embeddings()
        embedding = FactorizedEmbedding(plain.num_embeddings, self.config.factor_dim, plain.embedding_dim, plain.padding_idx)
        self.set_input_embeddings(embedding)
        output = self.get_output_embeddings()
        if output is not None:
            self.set_output_embeddings(FactorizedDecoder(embedding, output.bias))
        super().post_init()  # type: ignore[misc]

    def _init_weights(self: Any, module: nn.Module) -> None:
        if isinstance(module, FactorizedEmbedding):
            module.reset_parameters(self.config.initializer_range)
        elif isinstance(module, FactorizedDecoder):
            if module.bias is not None:
                initialization.zeros_(module.bias)
        # these fill weights of tables, and there are none
        elif not any(kind.__name__ in self.initializes_tables for kind in type(module).__mro__):
            super()._init_weights(module)  # type: ignore[misc]

    def resize_token_embeddings(
        self: Any, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, **_options: object
    ) -> nn.Module:
        """Refuse: new rows of F would have to be made by an initializer.

        Raises:
            InputError: unless called without a size, which returns the embeddings, as in transformers.
        """
        if new_num_tokens is None and pad_to_multiple_of is None:
            embedding: nn.Module = self.get_input_embeddings()
            return embedding
        raise InputError(
            "the vocabulary of a model with factorized embeddings cannot be resized",
            hint="graft it onto a tokenizer with the tokens you need, or `lexigraft export` it and resize the plain model",
        )
