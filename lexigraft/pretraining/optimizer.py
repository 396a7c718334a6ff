"""The groups of a model's parameters, each with its own learning rate, that phases may freeze and train again."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from lexigraft.errors import ConfigError
from lexigraft.modeling.factorized import FactorizedEmbedding
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.training import optimizer as shared

log = logging.getLogger(__name__)

GROUPS = ("encoder", "primitives", "coordinates", "head", "bias")


def parameter_groups(model: PreTrainedModel) -> dict[str, list[nn.Parameter]]:
    """Every parameter of a model in one of `GROUPS`, by its place in the model and not by its name.

    `coordinates` is F (or a plain table of word embeddings), `primitives` P, `bias` the output bias, `head` all else outside
    the base model, `encoder` the rest.
    """
    embedding: Any = model.get_input_embeddings()
    factorized = isinstance(embedding, FactorizedEmbedding)
    named: dict[int, str] = {id(embedding.coordinates if factorized else embedding.weight): "coordinates"}
    if factorized:
        named[id(embedding.primitives)] = "primitives"
    bias = getattr(model.get_output_embeddings(), "bias", None)  # type: ignore[no-untyped-call]
    if bias is not None:
        named[id(bias)] = "bias"
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    groups: dict[str, list[nn.Parameter]] = {group: [] for group in GROUPS}
    for parameter in model.parameters():
        groups[named.get(id(parameter), "encoder" if id(parameter) in inside else "head")].append(parameter)
    return groups


def adamw(model: PreTrainedModel, settings: PretrainingSettings) -> torch.optim.AdamW:
    """Return AdamW over all of the model's parameters, in `GROUPS`, whose learning rates `set_rates` sets."""
    groups = parameter_groups(model)
    for group, members in groups.items():
        log.info("%s: %d parameters", group, sum(parameter.numel() for parameter in members))
    return shared.adamw(groups, settings.weight_decay)


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
