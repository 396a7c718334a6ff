"""The encoder of a model: how long its input may be, and how to stop it at a layer."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.modeling_utils import PreTrainedModel

from lexigraft.modeling.families import family_of


def usable_positions(config: Any) -> int:
    """Longest sequence that a model of a plain or factorized configuration takes."""
    positions = family_of(config.model_type).limits(vars(config)).positions
    assert positions is not None
    return positions


def stopped_after(model: PreTrainedModel, layer: int) -> PreTrainedModel:
    """Return the encoder of a masked language model, changed to stop after `layer`; later layers are dropped.

    Its `last_hidden_state` is what the whole model returns as `hidden_states[layer]`: where a LayerNorm follows the last layer
    (ModernBERT), it belongs to the last layer alone.

    Args:
        model: of one of the families, plain or factorized.
        layer: 1 … number of layers.
    """
    family = family_of(model.config.model_type)
    encoder: Any = model.base_model
    layers = encoder.get_submodule(family.layers)
    if layer < len(layers) and family.final_norm is not None:
        encoder.set_submodule(family.final_norm, nn.Identity())
    encoder.set_submodule(family.layers, nn.ModuleList(list(layers)[:layer]))
    stopped: PreTrainedModel = encoder
    return stopped
