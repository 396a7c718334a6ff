"""AdamW over named groups of parameters, and the schedule of their learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn


def adamw(groups: Mapping[str, Iterable[nn.Parameter]], weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101); `set_rates` sets the learning rates of the groups, which are 0.

    Weight decay is not applied to parameters of fewer than two dimensions: biases and LayerNorms.
    """
    parts = []
    for name, members in groups.items():
        matrices = [parameter for parameter in members if parameter.ndim >= 2]
        vectors = [parameter for parameter in members if parameter.ndim < 2]
        for chosen, decay in ((matrices, weight_decay), (vectors, 0.0)):
            if chosen:
                parts.append({"params": chosen, "lr": 0.0, "group": name, "weight_decay": decay})
    # one kernel for all tensors of a group: a third of the time of the default on a CPU
    return torch.optim.AdamW(parts, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, peaks: Mapping[str, float], factor: float) -> None:
    """Set each group's learning rate to its peak times `factor`; a peak of 0 freezes the group: it gets no gradients."""
    for group in optimizer.param_groups:
        peak = peaks[group["group"]]
        group["lr"] = peak * factor
        for parameter in group["params"]:
            if parameter.requires_grad != (peak > 0):
                parameter.requires_grad_(peak > 0)
                parameter.grad = None


def schedule(step: int, steps: int, warmup_steps: int, kind: str = "linear", *, from_zero: bool = False) -> float:
    """Factor on the learning rates at `step` (1 … steps): up to 1 over the warm-up, then down to 0 after the last step.

    Without warm-up it is 1 at the first and 1 / steps at the last step, as in transformers' linear schedule. `cosine` falls
    along half a cosine, `constant` stays at 1.

    Args:
        from_zero: a warm-up starts at 0, as in transformers; else its first step is not wasted at 0.
    """
    if step <= warmup_steps:
        return (step - 1) / warmup_steps if from_zero else step / (warmup_steps + 1)
    if kind == "constant":
        return 1.0
    remaining = (steps - step + 1) / (steps - warmup_steps)
    return remaining if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * (1.0 - remaining)))
