"""The hypernetwork inside `graft`: an MLP on a token's mean word vector, made to carry over to languages it never saw.

It maps the weighted mean word vector b, scaled to norm sqrt(width), to the scaled target y = F * S / mean|y|, through a GELU
MLP plus a linear skip. With some probability the input is swapped for a near word vector of another language
(docs/methods.md, section 12).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from lexigraft.errors import InputError
from lexigraft.hypernetwork.history import History
from lexigraft.hypernetwork.sets import Integers
from lexigraft.hypernetwork.settings import MLPHypernetwork
from lexigraft.hypernetwork.split import split_pairs

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]


class SkipMLP(nn.Module):
    """width -> hidden -> hidden -> D' with GELU and dropout, plus a linear map of the input."""

    def __init__(self, width: int, rank: int, settings: MLPHypernetwork) -> None:
        super().__init__()
        hidden, dropout = settings.hidden, settings.dropout
        self.body = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, rank),
        )
        self.skip = nn.Linear(width, rank)

    def forward(self, vectors: Tensor) -> Tensor:
        """Scaled coordinates (batch, D') of scaled mean word vectors (batch, width)."""
        rows: Tensor = self.body(vectors) + self.skip(vectors)
        return rows


@dataclass(frozen=True, slots=True)
class Pairs:
    """Training pairs of the MLP.

    Attributes:
        inputs: (N, width) float32, the tokens' mean word vectors.
        targets: (N, D') float32, F * S / scale.
        neighbours: (N, k) indices into `foreign`, the nearest words of other languages.
        foreign: (M, width) float32, vectors of those words.
    """

    inputs: Floats
    targets: Floats
    neighbours: Integers
    foreign: Floats


def scaled(vectors: Floats) -> Floats:
    """Rows scaled to norm sqrt(width)."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors * (np.sqrt(vectors.shape[1]) / np.maximum(norms, 1e-12)), dtype=np.float32)


def nearest_foreign(inputs: Floats, foreign: Floats, neighbours: int) -> Integers:
    """(N, k) indices of the `foreign` vectors with the largest cosine to each input."""
    count = min(neighbours, len(foreign))
    _, nearest = faiss.knn(scaled(inputs), scaled(foreign), count, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(nearest, dtype=np.int64)


def train(settings: MLPHypernetwork, pairs: Pairs, *, seed: int, device: torch.device) -> tuple[list[SkipMLP], list[History]]:
    """Train `settings.networks` networks from different seeds; their mean prediction is used.

    Raises:
        InputError: too few pairs, or the loss is not finite.
    """
    trained = [_train_one(settings, pairs, index, seed + index, device) for index in range(settings.networks)]
    return [network for network, _ in trained], [history for _, history in trained]


def _train_one(settings: MLPHypernetwork, pairs: Pairs, index: int, seed: int, device: torch.device) -> tuple[SkipMLP, History]:
    parts = split_pairs(len(pairs.inputs), settings.validation, settings.test, settings.split_seed)
    train_items, validation_items, test_items = parts
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SkipMLP(pairs.inputs.shape[1], pairs.targets.shape[1], settings).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    steps = settings.epochs * -(-len(train_items) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=settings.learning_rate, total_steps=steps)
    own, foreign = torch.from_numpy(scaled(pairs.inputs)).to(device), torch.from_numpy(scaled(pairs.foreign)).to(device)
    targets = torch.from_numpy(pairs.targets).to(device)
    history = History(index)
    log.info("MLP hypernetwork %d on %s: %d training pairs, %d steps", index + 1, device, len(train_items), steps)

    def loss_of(inputs: Tensor, items: Integers) -> tuple[Tensor, dict[str, float]]:
        return _loss(network(inputs), targets, torch.from_numpy(items).to(device), settings)

    def measure(items: Integers) -> dict[str, float]:
        network.eval()
        with torch.no_grad():
            return loss_of(own[torch.from_numpy(items).to(device)], items)[1]

    for epoch in range(1, settings.epochs + 1):
        network.train()
        measured = []
        for items in _batches(train_items, settings.batch_size, rng):
            picked = pairs.neighbours[items, rng.integers(pairs.neighbours.shape[1], size=len(items))]
            swap = torch.from_numpy(rng.random(len(items)) < settings.neighbour_probability).to(device)
            inputs = torch.where(
                swap[:, None], foreign[torch.from_numpy(picked).to(device)], own[torch.from_numpy(items).to(device)]
            )
            loss, part = loss_of(inputs, items)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            measured.append(part)
        rate = optimizer.param_groups[0]["lr"]
        validation = measure(validation_items)
        history.add(epoch, "train", {name: float(np.mean([part[name] for part in measured])) for name in measured[0]}, rate)
        history.add(epoch, "validation", validation, rate)
        if not np.isfinite(validation["loss"]):
            raise InputError(
                f"the validation loss of epoch {epoch} is {validation['loss']}", hint="use a smaller `learning_rate`"
            )
    history.add(settings.epochs, "test", measure(test_items), rate)
    return network, history


def _loss(predicted: Tensor, all_targets: Tensor, items: Tensor, settings: MLPHypernetwork) -> tuple[Tensor, dict[str, float]]:
    """(1 - w) * mean((o - y)^2) / mean(y^2) + w * CE(cos(o, all y) / temperature); `l1` reports the first term."""
    targets = all_targets[items]
    error = (predicted - targets).square().mean() / targets.square().mean()
    cosines = normalize(predicted, dim=1) @ normalize(all_targets, dim=1).T
    contrastive = cross_entropy(cosines / settings.temperature, items)
    loss = (1 - settings.contrastive_weight) * error + settings.contrastive_weight * contrastive
    parts = {
        "loss": float(loss.detach()),
        "contrastive": float(contrastive.detach()),
        "l1": float(error.detach()),
        "cosine": float(cosine_similarity(predicted.detach(), targets, dim=1).mean()),
    }
    return loss, parts


def _batches(items: Integers, size: int, rng: np.random.Generator) -> Iterator[Integers]:
    order = rng.permutation(items)
    for first in range(0, len(order), size):
        yield order[first : first + size]


@torch.no_grad()
def predict(networks: list[SkipMLP], inputs: Floats, device: torch.device, block: int = 8192) -> Floats:
    """Mean prediction (N, D') of several networks for mean word vectors (N, width), in the scale of the targets."""
    rows = []
    for first in range(0, len(inputs), block):
        part = torch.from_numpy(scaled(inputs[first : first + block])).to(device)
        rows.append(torch.stack([network.eval()(part) for network in networks]).mean(dim=0).cpu().numpy())
    return np.concatenate(rows)
