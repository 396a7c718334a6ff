"""Loss and logits at chosen positions only, computed from hidden states."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from lexigraft.errors import ConfigError, InputError
from lexigraft.modeling.cross_entropy import blocked_cross_entropy
from lexigraft.modeling.factorized import FactorizedDecoder
from lexigraft.modeling.families import PREFIX, families, family_of
from lexigraft.modeling.kernels import OWN_KERNEL, SummedLoss, summed_loss

_TOLERANCE, _TOLERANCE_IN_16_BITS = 1e-3, 0.05
_TRIED = 16


def masked_logits(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
    """Run the encoder on whole sequences and the output head on some of their positions.

    Args:
        model: a masked language model of one of the families, plain or factorized.
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
        decoder: the output layer, factorized or plain.
        summed_loss: computes the cross-entropies.
    """

    transform: tuple[nn.Module, ...]
    decoder: nn.Module
    summed_loss: SummedLoss = blocked_cross_entropy

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Sum of the cross-entropies of (n, D) hidden states against (n,) labels."""
        for module in self.transform:
            hidden = module(hidden)
        if isinstance(self.decoder, FactorizedDecoder):
            hidden = functional.linear(hidden, self.decoder.primitives)
        return self.summed_loss(hidden, *_table(self.decoder), labels)


def output_head(model: PreTrainedModel, kernel: str = "blocks") -> OutputHead:
    """Find the output head of a masked or causal language model, and check that it computes the model's logits.

    Args:
        model: on the CPU or a GPU; its mode and gradients are left as they are.
        kernel: `blocks`, `liger` or `cut_cross_entropy`, see `summed_loss`; the latter two are checked as well.

    Raises:
        InputError: the model has no output layer, computes more than transform and output layer (scaled or capped logits), or
            its loss is NaN.
        ConfigError: the kernel does not work here, or gives another loss or other gradients.
        MissingPackageError: see `summed_loss`.
    """
    decoder: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if decoder is None:
        raise InputError(f"{type(model).__name__} has no output layer to train with", hint="give a language model")
    path = next(name for name, module in model.named_modules() if module is decoder)
    family = families().get(model.config.model_type.removeprefix(PREFIX))
    outside = [name for name, _ in model.named_children() if name != type(model).base_model_prefix]
    head_modules = [(name, model.get_submodule(name)) for name in (outside if family is None else family.head)]
    transform = [
        _without(module, path.removeprefix(f"{name}.")) if path.startswith(f"{name}.") else module
        for name, module in head_modules
        if name != path
    ]
    head = OutputHead(tuple(transform), decoder, summed_loss(kernel, model.device))
    _try_out(model, head)
    if kernel != "blocks":
        check_kernel(head.summed_loss, kernel, head.decoder)
    return head


def check_kernel(found: SummedLoss, name: str, decoder: nn.Module) -> None:
    """Compare a kernel with the plain computation, loss and gradients, on a few positions.

    Raises:
        ConfigError: it does not work here, or they differ by more than rounding to 16 bits.
    """
    weight, bias = _table(decoder)
    table = [tensor.detach().clone().requires_grad_() for tensor in (weight, bias) if tensor is not None]
    hidden = weight.detach()[: 4 * _TRIED : 4].clone()
    hidden = (hidden / hidden.std() / hidden.shape[1] ** 0.5).requires_grad_()
    labels = torch.arange(len(hidden), device=hidden.device) * (len(weight) // len(hidden))
    results = []
    for function in (found, _in_plain_torch):
        try:
            loss = function(hidden, table[0], table[1] if bias is not None else None, labels)
            results.append([loss.detach(), *torch.autograd.grad(loss, [hidden, *table])])
        except Exception as error:  # a compiler's, a driver's, or the package's own
            problem = f"output_kernel {name!r} does not work here: {' '.join(str(error).split())[:300]}"
            raise ConfigError(problem, where="output_kernel", hint=OWN_KERNEL) from error
    names = ("loss", "gradient of hidden states", "gradient of F", "gradient of the bias")
    for what, one, other in zip(names, *results, strict=False):
        difference = float((one.float() - other.float()).norm() / other.float().norm())
        if not difference < _TOLERANCE_IN_16_BITS:
            problem = f"output_kernel {name!r} differs from the plain computation by {difference:.1%} ({what})"
            raise ConfigError(problem, where="output_kernel", hint=OWN_KERNEL)


def _table(decoder: Any) -> tuple[Tensor, Tensor | None]:
    """Weight with one row per token, and bias, of an output layer."""
    return (decoder.coordinates if isinstance(decoder, FactorizedDecoder) else decoder.weight), decoder.bias


def _in_plain_torch(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(hidden, weight, bias), labels, reduction="sum")


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
    if own.isnan():
        raise InputError(
            f"the loss of {type(model).__name__} is NaN before anything is trained: its weights hold NaN or infinity",
            where="model.safetensors",
            hint="make the model again",
        )
    if not torch.allclose(own, found, rtol=_TOLERANCE):
        raise InputError(
            f"{type(model).__name__} does not compute its logits by one output layer",
            where=f"model_type {model.config.model_type!r}",
            hint="models with scaled or capped logits cannot be trained here",
        )


def head_loss_in_plain_torch(head: OutputHead, hidden: Tensor, labels: Tensor) -> Tensor:
    """`OutputHead.loss` by its definition, with all logits at once: the reference for every kernel."""
    for module in head.transform:
        hidden = module(hidden)
    return functional.cross_entropy(head.decoder(hidden), labels, reduction="sum")
