"""Loss and logits at chosen positions only, computed from hidden states."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from lexigraft.errors import ConfigError, InputError, MissingPackageError
from lexigraft.modeling.cross_entropy import blocked_cross_entropy
from lexigraft.modeling.factorized import FactorizedDecoder
from lexigraft.modeling.families import family_of

SummedLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""(hidden (n, d), weight (V, d), bias (V,) or None, labels (n,)) -> sum of the cross-entropies."""
_TOLERANCE = 1e-3


def masked_logits(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
    """Run the encoder on whole sequences and the output head on some of their positions.

    Args:
        model: a masked language model of one of the families, plain or factorised.
        input_ids: (B, L) integer ids.
        attention_mask: (B, L), 0 at padding; None where nothing is padded.
        positions: (n,) integer indices into the flattened B * L positions.

    Returns:
        (n, V) logits, in the order of `positions`.
    """
    hidden = model.base_model(input_ids, attention_mask=attention_mask).last_hidden_state
    chosen: Tensor = hidden.flatten(0, 1)[positions]
    for module in family_of(model.config.model_type).head:
        chosen = model.get_submodule(module)(chosen)
    return chosen


@dataclass(frozen=True, slots=True)
class OutputHead:
    """What turns hidden states into a loss, without logits of the whole vocabulary.

    Attributes:
        transform: modules before the output layer, one after the other; they share their parameters with the model.
        decoder: the output layer, factorised or plain.
        summed_loss: computes the cross-entropies.
    """

    transform: tuple[nn.Module, ...]
    decoder: nn.Module
    summed_loss: SummedLoss = blocked_cross_entropy

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Sum of the cross-entropies of (n, D) hidden states against (n,) labels."""
        for module in self.transform:
            hidden = module(hidden)
        decoder: Any = self.decoder
        if isinstance(decoder, FactorizedDecoder):
            hidden = functional.linear(hidden, decoder.primitives)
            return self.summed_loss(hidden, decoder.coordinates, decoder.bias, labels)
        return self.summed_loss(hidden, decoder.weight, decoder.bias, labels)


def output_head(model: PreTrainedModel, kernel: str = "blocks") -> OutputHead:
    """Find the output head of a masked or causal language model, and try out that it is all of it.

    Args:
        model: on the CPU or a GPU; its mode and gradients are left as they are.
        kernel: `blocks`, `liger` or `cut_cross_entropy`, see `summed_loss`.

    Raises:
        InputError: the model has no output layer, or computes more than transform and output layer (scaled or capped logits).
        ConfigError, MissingPackageError: see `summed_loss`.
    """
    decoder: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if decoder is None:
        raise InputError(f"{type(model).__name__} has no output layer to train with", hint="give a language model")
    path = next(name for name, module in model.named_modules() if module is decoder)
    base = type(model).base_model_prefix
    outer = [(name, module) for name, module in model.named_children() if name != base]
    transform = [
        _without(module, path.removeprefix(f"{name}.")) if path.startswith(f"{name}.") else module
        for name, module in outer
        if name != path
    ]
    head = OutputHead(tuple(transform), decoder, summed_loss(kernel, model.device))
    _try_out(model, head)
    return head


def summed_loss(kernel: str, device: torch.device) -> SummedLoss:
    """The function that computes cross-entropies.

    `blocks` is lexigraft's own and runs everywhere. `liger` (package liger-kernel, Hsu et al. 2024,
    https://arxiv.org/abs/2410.10989) and `cut_cross_entropy` (package cut-cross-entropy, Wijmans et al. 2025,
    https://arxiv.org/abs/2411.09009) are fused kernels for GPUs.

    Raises:
        ConfigError: a GPU kernel is asked for without a GPU.
        MissingPackageError: its package is not installed.
    """
    if kernel == "blocks":
        return blocked_cross_entropy
    if device.type != "cuda":
        raise ConfigError(
            f"output_kernel {kernel!r} runs on GPUs only, this is {device.type!r}",
            where="output_kernel",
            hint="set `output_kernel: blocks`, or `gpus`",
        )
    name = {"liger": "liger-kernel", "cut_cross_entropy": "cut-cross-entropy"}[kernel]
    try:
        if kernel == "liger":
            from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

            def fused(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
                loss: Tensor = liger_fused_linear_cross_entropy(hidden, weight, labels, bias=bias, reduction="sum")
                return loss

        else:
            from cut_cross_entropy import linear_cross_entropy

            def fused(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
                kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else torch.bfloat16
                loss: Tensor = linear_cross_entropy(
                    hidden.to(kind), weight.to(kind), labels, bias=None if bias is None else bias.to(kind), reduction="sum"
                )
                return loss

    except ImportError as error:
        raise MissingPackageError(
            f"output_kernel {kernel!r} needs the package {name!r} ({error})",
            where="output_kernel",
            hint=f"pip install {name}, or set `output_kernel: blocks`",
        ) from error
    return fused


def _without(module: nn.Module, path: str) -> nn.Module:
    """A module that shares all its parameters with `module`, but passes on what the submodule at `path` would be given."""
    shallow = copy.copy(module)
    shallow._modules = dict(module._modules)
    first, _, rest = path.partition(".")
    child = module._modules[first]
    assert child is not None
    shallow._modules[first] = _without(child, rest) if rest else nn.Identity()
    return shallow


def _try_out(model: PreTrainedModel, head: OutputHead) -> None:
    """Compare the head with the model's own logits on a few tokens."""
    was_training = model.training
    model.train(False)
    ids = (torch.arange(12, device=model.device) % model.config.vocab_size)[None]
    labels = ids[0].flip(0)
    with torch.no_grad():
        own = functional.cross_entropy(model(ids).logits[0].double(), labels, reduction="sum")
        hidden = model.base_model(ids).last_hidden_state[0]
        found = head_loss_in_plain_torch(head, hidden, labels).double()
    model.train(was_training)
    if not torch.allclose(own, found, rtol=_TOLERANCE):
        raise InputError(
            f"{type(model).__name__} computes its logits in another way than by one output layer",
            where=f"model_type {model.config.model_type!r}",
            hint="models with scaled or capped logits cannot be trained here",
        )


def head_loss_in_plain_torch(head: OutputHead, hidden: Tensor, labels: Tensor) -> Tensor:
    """`OutputHead.loss` by its definition, with all logits at once: the reference for every kernel."""
    for module in head.transform:
        hidden = module(hidden)
    return functional.cross_entropy(head.decoder(hidden), labels, reduction="sum")
