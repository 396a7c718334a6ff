"""Cross-entropy from hidden states by name: lexigraft's own in blocks, or fused GPU kernels of other packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import torch
from packaging.version import Version
from torch import Tensor

from lexigraft.errors import ConfigError, MissingPackageError
from lexigraft.modeling.cross_entropy import LOGITS_ON_GPU, blocked_cross_entropy

SummedLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""(hidden (n, d), weight (V, d), bias (V,) or None, labels (n,)) -> sum of the cross-entropies."""
OWN_KERNEL = "set `output_kernel: blocks`"
_OLDEST = {"liger": ("liger-kernel", "0.8.5"), "cut_cross_entropy": ("cut-cross-entropy", "25.1.1")}


def summed_loss(kernel: str, device: torch.device) -> SummedLoss:
    """The function that computes cross-entropies.

    `blocks` is lexigraft's own and runs everywhere. `liger` (package liger-kernel, Hsu et al. 2024,
    https://arxiv.org/abs/2410.10989) and `cut_cross_entropy` (package cut-cross-entropy, Wijmans et al. 2025,
    https://arxiv.org/abs/2411.09009) are fused kernels for GPUs.

    Raises:
        ConfigError: a GPU kernel without a GPU.
        MissingPackageError: its package is not installed, or too old.
    """
    if kernel == "blocks":
        return blocked_cross_entropy
    if device.type != "cuda":
        raise ConfigError(
            f"output_kernel {kernel!r} runs on GPUs only, this is {device.type!r}",
            where="output_kernel",
            hint=f"{OWN_KERNEL}, or `gpus`",
        )
    name, oldest = _OLDEST[kernel]
    hint = f"pip install '{name}>={oldest}', or {OWN_KERNEL}"
    try:
        fused = _liger() if kernel == "liger" else _cut_cross_entropy()
    except ImportError as error:
        problem = f"output_kernel {kernel!r} needs the package {name!r} ({error})"
        raise MissingPackageError(problem, where="output_kernel", hint=hint) from error
    if Version(version(name)) < Version(oldest):
        problem = f"output_kernel {kernel!r} needs {name} {oldest} or newer, this is {version(name)}"
        raise MissingPackageError(problem, where="output_kernel", hint=hint)

    def of_some(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
        # neither kernel can be started for no position at all
        return (fused if len(labels) else blocked_cross_entropy)(hidden, weight, bias, labels)

    return of_some


def _liger() -> SummedLoss:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    def fused(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not hidden.requires_grad:
            hidden = hidden.detach().requires_grad_()  # else it computes no gradient of the bias either
        # by default it takes no more logits at a time than `hidden` has entries: one position, where F is narrow
        times = max(LOGITS_ON_GPU // hidden.numel(), 1)
        loss: Tensor = liger_fused_linear_cross_entropy(
            hidden, weight, labels, bias=bias, reduction="sum", chunk_mem_const=times
        )
        return loss

    return fused


def _cut_cross_entropy() -> SummedLoss:
    from cut_cross_entropy import linear_cross_entropy

    def fused(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
        # its backward pass takes 16 bits only
        kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else torch.bfloat16
        hidden, weight = hidden.to(kind), weight.to(kind)
        if bias is not None:
            hidden, weight = _with_bias(hidden, weight, bias)
        # every gradient counts: small ones of rare tokens, which it leaves out by default, are what pre-training is for
        loss: Tensor = linear_cross_entropy(hidden, weight, labels, reduction="sum", filter_eps=None)
        return loss

    return fused


def _with_bias(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states and weight with two more columns whose product is the bias: what 16 bits hold of it, and the rest."""
    large = bias.to(weight.dtype)
    rest = (bias - large).to(weight.dtype)
    return torch.cat([hidden, hidden.new_ones(len(hidden), 2)], 1), torch.cat([weight, large[:, None], rest[:, None]], 1)
