"""Processes that train together: one a GPU, or a single one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


def device_of(kind: str, rank: int) -> torch.device:
    """Device of process `rank`: a GPU of its own, or the CPU."""
    return torch.device("cuda", rank) if kind == "cuda" else torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those that train together.

    Gradients are summed by hand once an optimizer step rather than by `DistributedDataParallel` in the backward pass: with
    accumulation there is next to nothing to overlap, and parameters keep their names and need no wrapper.

    Attributes:
        device: where this process computes.
        rank: number of this process, from 0.
        size: number of processes; with one, nothing is communicated.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    def sum(self, value: Tensor) -> Tensor:
        """Sum of `value` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes."""
        if self.size > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            for work in [distributed.all_reduce(gradient, async_op=True) for gradient in gradients]:
                work.wait()
