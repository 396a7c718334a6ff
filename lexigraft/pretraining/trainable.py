"""The model that is trained: loaded from its folder, checked, its parameters in groups."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lexigraft.artifacts import check
from lexigraft.errors import ArtifactError, ConfigError, InputError
from lexigraft.modeling.encoder import usable_positions
from lexigraft.modeling.factorized import FactorizedEmbedding
from lexigraft.modeling.load import STAGES, load_model
from lexigraft.pretraining.settings import PretrainingSettings

log = logging.getLogger(__name__)

GROUPS = ("encoder", "primitives", "coordinates", "head", "bias")


def load_trainable(folder: Path, objective: str) -> PreTrainedModel:
    """Load the model of a folder for an objective, on the CPU, float32.

    Masked language models are lexigraft's own. Causal ones are plain decoder models of transformers.

    Raises:
        InputError: the folder holds no model for this objective.
        ArtifactError: weights are missing, damaged, or do not fit `config.json`.
    """
    if objective == "mlm":
        return load_model(folder)
    _check_is_causal(folder)
    check(folder / "model.safetensors", STAGES)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        message = " ".join(str(error).split())[:300]
        raise InputError(
            f"the model cannot be loaded: {message}", where=folder, hint="give a decoder model, or set `objective: mlm`"
        ) from error
    model, report = loaded
    wrong = sorted(str(name) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in report[key])
    if wrong:
        raise ArtifactError(
            f"weights do not fit config.json: {', '.join(wrong[:5])}", where=folder, hint="make the model again"
        )
    causal: PreTrainedModel = model
    return causal


def longest_sequence(config: Any, objective: str) -> int | None:
    """Tokens that a model takes at most; None where it has no such limit."""
    return usable_positions(config) if objective == "mlm" else getattr(config, "max_position_embeddings", None)


def parameter_groups(model: PreTrainedModel) -> dict[str, list[nn.Parameter]]:
    """Every parameter of a model in one of `GROUPS`, by where it stands and not by its name.

    `coordinates` is F (or a plain table of word embeddings), `primitives` P, `bias` the output bias, `head` what else stands
    outside the base model, `encoder` the rest.
    """
    embedding: Any = model.get_input_embeddings()
    factorized = isinstance(embedding, FactorizedEmbedding)
    named: dict[int, str] = {id(embedding.coordinates if factorized else embedding.weight): "coordinates"}
    if factorized:
        named[id(embedding.primitives)] = "primitives"
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    bias = getattr(output, "bias", None)
    if bias is not None:
        named[id(bias)] = "bias"
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    groups: dict[str, list[nn.Parameter]] = {group: [] for group in GROUPS}
    for parameter in model.parameters():
        groups[named.get(id(parameter), "encoder" if id(parameter) in inside else "head")].append(parameter)
    return groups


def check_something_learns(model: PreTrainedModel, settings: PretrainingSettings) -> None:
    """Check that each phase trains a group that this model has: not every model has P, a head, or an output bias.

    Raises:
        ConfigError: a phase freezes all that there is.
    """
    present = [group for group, members in parameter_groups(model).items() if members]
    for number, end in enumerate(settings.phase_ends, start=1):
        rates = settings.rates_at(end)[1]
        if not any(rates[group] for group in present):
            raise ConfigError(
                f"phase {number} (until step {end}) freezes everything: this model has {', '.join(present)}, and their "
                "learning rates are 0",
                where="learning_rates",
                hint="give one of them a rate above 0",
            )


def prepared_for_training(model: PreTrainedModel, settings: PretrainingSettings, device: torch.device) -> PreTrainedModel:
    """Move a model to its device and set dropout, attention and activation checkpointing.

    Raises:
        ConfigError: the kind of attention is not to be had here.
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


def _check_is_causal(folder: Path) -> None:
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError) as error:
        raise InputError(f"config.json cannot be read ({error!r})", where=folder, hint="name a folder with a model") from None
    if not any(name.endswith(("LMHeadModel", "ForCausalLM")) for name in named):
        raise InputError(
            f"config.json names {', '.join(named) or 'no class'}, which predicts no next token",
            where=folder,
            hint="give a decoder model, or set `objective: mlm`",
        )
