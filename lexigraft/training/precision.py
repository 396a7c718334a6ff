"""The type of matrix products in training; weights, optimizers and losses are float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def product_type(precision: str, device: torch.device) -> torch.dtype:
    """The type for a setting `precision` (`auto`, `float32`, `bfloat16`) on a device.

    `auto` is bfloat16 on GPUs that compute in it: one that emulates it is faster in float32.
    """
    if precision == "auto":
        computes = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if computes else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which matrix products are of `product_type`."""
    kind = product_type(precision, device)
    return nullcontext() if kind == torch.float32 else torch.autocast(device.type, kind)
