"""The loss of HyperOFA's hypernetwork (arXiv 2504.21018, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize


def contrastive_loss(predicted: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of cos(prediction i, true row k) / temperature over the batch, right answer k = i.

    Args:
        predicted, target: (batch, D').
    """
    cosines = normalize(predicted, dim=1) @ normalize(target, dim=1).T
    return cross_entropy(cosines / temperature, torch.arange(len(target), device=target.device))


def normalized_l1(predicted: Tensor, target: Tensor) -> Tensor:
    """mean |F - F_hat| / mean |F| over the batch: rows of F have RMS about 1/sqrt(V), so a plain L1 would vanish."""
    return (target - predicted).abs().mean() / target.abs().mean()


def hypernetwork_loss(predicted: Tensor, target: Tensor, weight: float, temperature: float) -> tuple[Tensor, Tensor]:
    """weight * contrastive + (1 - weight) * normalized L1, and (4,) `MEASURES` of the batch, detached."""
    contrastive = contrastive_loss(predicted, target, temperature)
    l1 = normalized_l1(predicted, target)
    loss = weight * contrastive + (1 - weight) * l1
    cosine = cosine_similarity(predicted.detach(), target, dim=1).mean()
    return loss, torch.stack([loss.detach(), contrastive.detach(), l1.detach(), cosine])


def split_loss(predicted: Tensor, target: Tensor, weight: float, temperature: float, batch_size: int) -> dict[str, float]:
    """`MEASURES` of a whole split: L1 and cosine over all its rows, the contrastive loss the mean over batches of its rows."""
    parts = zip(torch.split(predicted, batch_size), torch.split(target, batch_size), strict=True)
    contrastive = sum(float(contrastive_loss(ours, theirs, temperature)) * len(ours) for ours, theirs in parts) / len(target)
    l1, cosine = float(normalized_l1(predicted, target)), float(cosine_similarity(predicted, target, dim=1).mean())
    return dict(zip(MEASURES, (weight * contrastive + (1 - weight) * l1, contrastive, l1, cosine), strict=True))


def mean_measures(measured: Sequence[Tensor], sizes: Sequence[int]) -> dict[str, float]:
    """Means over an epoch's batches of their (4,) `MEASURES`, by the sizes of the batches.

    They are read once an epoch: a GPU would have to be waited for after every batch.
    """
    means = np.average(torch.stack(list(measured)).cpu().double().numpy(), axis=0, weights=sizes)
    return dict(zip(MEASURES, means.tolist(), strict=True))


MEASURES = ("loss", "contrastive", "l1", "cosine")
"""What a history holds of an epoch: the loss, its two parts, and the mean cosine of prediction and true row."""
