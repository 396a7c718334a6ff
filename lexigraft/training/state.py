"""Parameters and optimizer state as arrays by name: what checkpoints and the artifacts of networks hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

Tensors = Mapping[str, NDArray[Any]]


def parameters_of(model: nn.Module, prefix: str = "") -> dict[str, NDArray[Any]]:
    """All parameters by name, behind `prefix`, on the CPU."""
    return {f"{prefix}{name}": parameter.detach().cpu().numpy() for name, parameter in model.named_parameters()}


def set_parameters(model: nn.Module, tensors: Tensors, prefix: str = "") -> None:
    """Set all parameters to those of `parameters_of`; other tensors are ignored."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(tensors[f"{prefix}{name}"]))


def model_names(model: nn.Module) -> list[str]:
    """Names of a model's parameters among the tensors of a checkpoint."""
    return [f"model/{name}" for name, _ in model.named_parameters()]


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """All parameters as `model/NAME`, and what the optimizer holds of each as `optimizer/KEY/NAME`."""
    tensors = parameters_of(model, "model/")
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
    return tensors


def restore_state(tensors: Tensors, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Set parameters and optimizer state to what `state_tensors` returned; other tensors are ignored."""
    set_parameters(model, tensors, "model/")
    parameters = dict(model.named_parameters())
    for full_name, array in tensors.items():
        if full_name.startswith("optimizer/"):
            _, key, name = full_name.split("/", 2)
            value, device = torch.from_numpy(array), parameters[name].device
            if key == "step":  # a scalar, on the CPU unless one kernel updates all parameters
                value, device = value.reshape(()), device if optimizer.defaults.get("fused") else torch.device("cpu")
            optimizer.state[parameters[name]][key] = value.to(device)
