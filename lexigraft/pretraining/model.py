"""The model that is trained: loaded from its folder as the kind that its objective trains, and prepared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lexigraft.artifacts import check
from lexigraft.errors import ConfigError, InputError
from lexigraft.modeling.encoder import usable_positions
from lexigraft.modeling.load import STAGES, load_model, load_whole
from lexigraft.pretraining.settings import PretrainingSettings


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A kind of language model.

    Attributes:
        load: loads the model of a folder on the CPU, float32. Raises InputError if it holds none of this kind, ArtifactError if
            weights are missing, damaged, or do not fit `config.json`.
        longest: tokens that a model with a configuration takes at most; None where it has no such limit.
    """

    load: Callable[[Path], PreTrainedModel]
    longest: Callable[[Any], int | None]


def load_causal(folder: Path) -> PreTrainedModel:
    """Load a plain decoder model of transformers; see `ModelKind.load`."""
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError) as error:
        raise InputError(f"config.json cannot be read ({error!r})", where=folder, hint="name a folder with a model") from None
    if not any(name.endswith(("LMHeadModel", "ForCausalLM")) for name in named):
        problem = f"config.json names {', '.join(named) or 'no class'}, which predicts no next token"
        raise InputError(problem, where=folder, hint=_HINT)
    check(folder / "model.safetensors", STAGES)
    return load_whole(AutoModelForCausalLM, folder, InputError, _HINT, "build the model again")


MODEL_KINDS = {
    "masked": ModelKind(load_model, usable_positions),
    "causal": ModelKind(load_causal, lambda config: getattr(config, "max_position_embeddings", None)),
}
"""By the name that `Objective.model_kind` gives."""
_HINT = "give a decoder model, or set an `objective` for masked language models"


def prepared_for_training(model: PreTrainedModel, settings: PretrainingSettings, device: torch.device) -> PreTrainedModel:
    """Move a model to its device and set dropout, attention and activation checkpointing.

    Raises:
        ConfigError: this kind of attention is not available here.
    """
    nn.Module.to(model, device).train()
    if settings.dropout is not None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = settings.dropout
    try:
        if settings.attention is not None:
            model.set_attn_implementation(settings.attention)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"attention {settings.attention!r} cannot be used: {' '.join(str(error).split())[:200]}",
            where="attention",
            hint="leave `attention` out: the fastest that torch has for this model is used",
        ) from error
    if settings.activation_checkpointing:
        enable: Any = model.activation_checkpointing_enable
        enable()
    return model
