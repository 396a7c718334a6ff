"""Cross-entropy over a large vocabulary in blocks, without logits that outlive a block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_LOGITS_ON_CPU, LOGITS_ON_GPU = 1 << 19, 1 << 26
_FEWEST_TOKENS = 256


def blocked_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, block: int | None = None
) -> Tensor:
    """Sum of the cross-entropies of `hidden @ weight.T + bias` against `labels`.

    The forward pass keeps one number a position (the log of the sum of exponentials) and the backward pass computes the logits
    of each block again, so neither holds more than n * block logits. Under autocast products are taken in its type, logits and
    sums in float32; float64 input stays float64.

    Args:
        hidden: (n, d).
        weight: (V, d) rows of the tokens.
        bias: (V,), or None.
        labels: (n,) int64.
        block: tokens at a time; by default as many as fit the cache of a processor (a quarter of a gigabyte on a GPU).

    Returns:
        a scalar, float32 or float64; 0 for n = 0.
    """
    if block is None:
        budget = _LOGITS_ON_CPU if hidden.device.type == "cpu" else LOGITS_ON_GPU
        block = max(budget // max(len(hidden), 1), _FEWEST_TOKENS)
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):
        product = torch.get_autocast_dtype(kind)
    else:
        product = torch.promote_types(hidden.dtype, weight.dtype)
    loss: Tensor = _BlockedCrossEntropy.apply(hidden, weight, bias, labels, block, product)  # type: ignore[no-untyped-call]
    return loss


class _BlockedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, block: int, product: torch.dtype
    ) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            given = hidden.to(product)
            sums = torch.promote_types(product, torch.float32)
            total = torch.full((len(given),), -torch.inf, dtype=sums, device=given.device)
            of_label = torch.zeros_like(total)
            for start in range(0, len(weight), block):
                logits = _logits(given, weight, bias, start, block, sums)
                total = torch.logaddexp(total, torch.logsumexp(logits, 1))
                inside = (labels >= start) & (labels < start + block)
                picked = logits.gather(1, (labels - start).clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
                of_label = torch.where(inside, picked, of_label)
        ctx.save_for_backward(given, weight, bias, labels, total)
        ctx.block, ctx.dtypes = block, (hidden.dtype, sums)
        return (total - of_label).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = gradients
        given, weight, bias, labels, total = ctx.saved_tensors
        hidden_dtype, sums = ctx.dtypes
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        to_hidden = torch.zeros(given.shape, dtype=sums, device=given.device) if wants_hidden else None
        to_weight = torch.empty_like(weight) if wants_weight else None
        to_bias = torch.empty_like(bias) if wants_bias else None
        rows = torch.arange(len(labels), device=labels.device)
        for start in range(0, len(weight), ctx.block):
            stop = min(start + ctx.block, len(weight))
            logits = _logits(given, weight, bias, start, ctx.block, sums)
            shares = logits.sub_(total[:, None]).exp_()
            inside = (labels >= start) & (labels < stop)
            shares.index_put_((rows, (labels - start).clamp(0, stop - start - 1)), -inside.to(sums), accumulate=True)
            if to_bias is not None:
                to_bias[start:stop] = shares.sum(0) * scale
            shares = shares.to(given.dtype)
            if to_hidden is not None:
                to_hidden += shares @ weight[start:stop].to(given.dtype)
            if to_weight is not None:
                # scaled behind the product: a scale rounded to its precision would change all gradients by one factor
                to_weight[start:stop] = (shares.T @ given).to(sums) * scale
        if to_hidden is not None:
            to_hidden = (to_hidden * scale).to(hidden_dtype)
        return to_hidden, to_weight, to_bias, None, None, None


def _logits(given: Tensor, weight: Tensor, bias: Tensor | None, start: int, block: int, sums: torch.dtype) -> Tensor:
    rows = weight[start : start + block].to(given.dtype)
    if bias is None:
        return functional.linear(given, rows).to(sums)
    added = bias[start : start + block]
    if added.dtype == given.dtype:
        return functional.linear(given, rows, added).to(sums)
    return functional.linear(given, rows).to(sums).add_(added)
