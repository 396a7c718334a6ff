"""AdamW over named parameter groups, each with its own learning rate, that phases may freeze and free."""

from __future__ import annotations

import logging
import math

import torch
from transformers.modeling_utils import PreTrainedModel

from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.pretraining.trainable import GROUPS, parameter_groups

log = logging.getLogger(__name__)


def adamw(model: PreTrainedModel, settings: PretrainingSettings) -> torch.optim.AdamW:
    """Return AdamW over all of the model's parameters; `set_rates` says which of them learn, and how fast.

    Each of the optimizer's groups has the entry `group`, its name. Weight decay is not applied to parameters of fewer than two
    dimensions: biases and LayerNorms. Loshchilov & Hutter 2019 (arXiv 1711.05101).
    """
    groups = []
    members = parameter_groups(model)
    for group in GROUPS:
        matrices = [parameter for parameter in members[group] if parameter.ndim >= 2]
        vectors = [parameter for parameter in members[group] if parameter.ndim < 2]
        for chosen, decay in ((matrices, settings.weight_decay), (vectors, 0.0)):
            if chosen:
                groups.append({"params": chosen, "lr": 0.0, "group": group, "weight_decay": decay})
        log.info("%s: %d parameters", group, sum(parameter.numel() for parameter in members[group]))
    # one kernel for all of a group's tensors: a third of the time of the default on a CPU
    return torch.optim.AdamW(groups, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, rates: dict[str, float], factor: float) -> None:
    """Set each group's learning rate to its peak times `factor`; groups with peak 0 are frozen: they get no gradient."""
    for group in optimizer.param_groups:
        peak = rates[group["group"]]
        group["lr"] = peak * factor
        for parameter in group["params"]:
            if parameter.requires_grad != (peak > 0):
                parameter.requires_grad_(peak > 0)
                parameter.grad = None


def schedule(step: int, steps: int, warmup_steps: int, kind: str = "linear") -> float:
    """Factor on the learning rates at `step` (1 … steps): up to 1 over the warm-up, then down to 0 after the last step.

    Without warm-up it is 1 at the first and 1 / steps at the last step, as in transformers' linear schedule; with warm-up the
    first step is not wasted at 0. `cosine` falls along half a cosine, `constant` stays at 1.
    """
    rising = step / (warmup_steps + 1)
    if rising < 1.0 or kind == "constant":
        return min(rising, 1.0)
    left = (steps - step + 1) / (steps - warmup_steps)
    return left if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * (1.0 - left)))
