"""The loss of HyperOFA's hypernetwork (arXiv 2504.21018, section 3.3)."""

from __future__ import annotations

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


def hypernetwork_loss(predicted: Tensor, target: Tensor, weight: float, temperature: float) -> tuple[Tensor, dict[str, float]]:
    """weight * contrastive + (1 - weight) * normalised L1, and its parts (with the mean cosine) as numbers."""
    contrastive = contrastive_loss(predicted, target, temperature)
    l1 = normalized_l1(predicted, target)
    loss = weight * contrastive + (1 - weight) * l1
    parts = {
        "loss": float(loss.detach()),
        "contrastive": float(contrastive.detach()),
        "l1": float(l1.detach()),
        "cosine": float(cosine_similarity(predicted.detach(), target, dim=1).mean()),
    }
    return loss, parts
