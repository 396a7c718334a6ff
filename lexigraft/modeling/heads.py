"""Masked-language-modelling logits at chosen positions only."""

from __future__ import annotations

from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from lexigraft.modeling.families import family_of


def masked_logits(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
    """Run the encoder on whole sequences and the output head on some of their positions.

    Pre-training asks for 15 % of the positions; logits of all would take most of its memory.

    Args:
        model: a masked language model of one of the families, plain or factorised.
        input_ids: (B, L) integer ids.
        attention_mask: (B, L), 0 at padding; None where nothing is padded.
        positions: (n,) integer indices into the flattened B * L positions.

    Returns:
        (n, V) logits, in the order of `positions`.
    """
    hidden = model.base_model(input_ids, attention_mask=attention_mask).last_hidden_state
    head = model.get_submodule(family_of(model.config.model_type).head)
    logits: Tensor = head(hidden.flatten(0, 1)[positions])
    return logits
