"""Processes that train together, by accelerate: one per GPU, or several on the CPU, on one machine or more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, distributed, nn


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those that train together.

    Gradients are summed once per optimizer step and not by `DistributedDataParallel` in the backward pass: with accumulation
    there is little to overlap, groups of parameters can be frozen and trained again between steps, micro-batches may be shared
    unevenly, and parameters keep their names.

    Attributes:
        accelerator: knows the device and the other processes.
    """

    accelerator: Accelerator

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def size(self) -> int:
        """Number of processes; with one, nothing is communicated."""
        return int(self.accelerator.num_processes)

    def sum(self, value: Tensor) -> Tensor:
        """Sum of `value` over all processes."""
        reduced: Tensor = self.accelerator.reduce(value, "sum") if self.size > 1 else value
        return reduced

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes, a parameter without gradient counting as 0."""
        if self.size == 1:
            return
        works = []
        for parameter in parameters:
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                works.append(distributed.all_reduce(parameter.grad, async_op=True))
        for work in works:
            work.wait()


@contextmanager
def group_of(device: str) -> Iterator[Group]:
    """This process on `cpu` or `cuda`, and its group; the environment that accelerate's launcher sets says how large it is."""
    # accelerate has one state per process, which would outlive this run
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield Group(Accelerator(cpu=device == "cpu", mixed_precision="no"))
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)
