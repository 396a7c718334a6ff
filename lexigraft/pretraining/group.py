"""Processes that train together, by accelerate: one per GPU, or several on the CPU, on one machine or more.

Gradients are summed once per optimizer step and not by `DistributedDataParallel` in the backward pass: with accumulation there
is little to overlap, groups of parameters can be frozen and trained again between steps, micro-batches may be shared unevenly,
and parameters keep their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, distributed, nn


@contextmanager
def group_of(device: str) -> Iterator[Accelerator]:
    """This process on `cpu` or `cuda`, and its group; the environment that accelerate's launcher sets says how large it is."""
    # accelerate has one state per process, which would outlive this run
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield Accelerator(cpu=device == "cpu", mixed_precision="no")
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)


def total(group: Accelerator, value: Tensor) -> Tensor:
    """Sum of `value` over all processes."""
    summed: Tensor = group.reduce(value, "sum") if group.num_processes > 1 else value
    return summed


def sum_gradients(group: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all processes, a parameter without gradient counting as 0."""
    works = []
    for parameter in parameters if group.num_processes > 1 else ():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            works.append(distributed.all_reduce(parameter.grad, async_op=True))
    for work in works:
        work.wait()
