"""Parameters and optimizer state as arrays by name, for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

Tensors = Mapping[str, NDArray[Any]]


def model_names(model: nn.Module) -> list[str]:
    """Names of a model's parameters among the tensors of a checkpoint."""
    return [f"model/{name}" for name, _ in model.named_parameters()]


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """All parameters as `model/NAME`, and what the optimizer holds of each as `optimizer/KEY/NAME`."""
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"model/{name}"] = parameter.detach().cpu().numpy()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
    return tensors


def restore_state(tensors: Tensors, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Set all parameters, and the state of an optimizer, to what `state_tensors` returned; other tensors are left alone."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(tensors[f"model/{name}"]))
    if optimizer is None:
        return
    for full_name, array in tensors.items():
        if full_name.startswith("optimizer/"):
            _, key, name = full_name.split("/", 2)
            value, parameter = torch.from_numpy(array), parameters[name]
            if key == "step":  # a scalar, on the CPU unless one kernel updates all parameters
                value = value.reshape(()).to(parameter.device if optimizer.defaults.get("fused") else "cpu")
            optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)
