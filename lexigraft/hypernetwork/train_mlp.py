"""Training of the hypernetwork inside `graft`, built to generalize to languages it never saw (docs/methods.md, section 12).

It maps the weighted mean word vector b, scaled to norm sqrt(width), to the scaled target y = F * S / mean|F * S|. With some
probability the input is replaced by a near word vector of another language.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from lexigraft.hypernetwork.history import EpochHistory
from lexigraft.hypernetwork.losses import MEASURES, mean_measures, normalized_l1
from lexigraft.hypernetwork.networks import network_of
from lexigraft.hypernetwork.sampling import chunks
from lexigraft.hypernetwork.sets import Integers
from lexigraft.hypernetwork.settings import MLPHypernetwork
from lexigraft.hypernetwork.split import Split
from lexigraft.training.seeds import own_generators
from lexigraft.word_vectors.similarity import scaled

if TYPE_CHECKING:
    from lexigraft.hypernetwork.networks.mlp import SkipMLP

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MeanPairs:
    """Training pairs of the MLP.

    Attributes:
        inputs: (N, width) float32, the tokens' mean word vectors.
        targets: (N, D') float32, F * S / scale.
        unscale: (D',) float32, scale / S: what turns targets back into rows of F.
        neighbors: (N, k) indices into `foreign`, the nearest words of other languages.
        foreign: (M, width) float32, vectors of all those words.
        split: of the N pairs.
    """

    inputs: Floats
    targets: Floats
    unscale: Floats
    neighbors: Integers
    foreign: Floats
    split: Split


def nearest_foreign(inputs: Floats, foreign: Floats, neighbors: int) -> Integers:
    """(N, k) indices of the `foreign` vectors with the largest cosine to each input."""
    count = min(neighbors, len(foreign))
    _, nearest = faiss.knn(scaled(inputs), scaled(foreign), count, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(nearest, dtype=np.int64)


def train_networks(
    settings: MLPHypernetwork, pairs: MeanPairs, *, seed: int, device: torch.device
) -> tuple[list[SkipMLP], list[EpochHistory]]:
    """Train `settings.networks` networks from different seeds; their mean prediction is used.

    Raises:
        DivergedError: the validation loss is not finite.
    """
    seeds = np.random.SeedSequence(seed).generate_state(settings.networks).tolist()
    with own_generators(device):
        trained = [_train_one(settings, pairs, index, own, device) for index, own in enumerate(seeds)]
    return [network for network, _ in trained], [history for _, history in trained]


def _train_one(
    settings: MLPHypernetwork, pairs: MeanPairs, index: int, seed: int, device: torch.device
) -> tuple[SkipMLP, EpochHistory]:
    split = pairs.split
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = network_of(settings, pairs.inputs.shape[1], pairs.targets.shape[1]).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    steps = settings.epochs * -(-len(split.train) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=settings.learning_rate, total_steps=steps)
    own, foreign = torch.from_numpy(scaled(pairs.inputs)).to(device), torch.from_numpy(scaled(pairs.foreign)).to(device)
    targets, unscale = torch.from_numpy(pairs.targets).to(device), torch.from_numpy(pairs.unscale).to(device)
    history = EpochHistory(index)
    log.info("MLP hypernetwork %d on %s: %d training pairs, %d steps", index + 1, device, len(split.train), steps)

    def loss_of(inputs: Tensor, items: Integers) -> tuple[Tensor, Tensor]:
        return _loss(network(inputs), targets, torch.from_numpy(items).to(device), unscale, settings)

    def measure(items: Integers) -> dict[str, float]:
        network.eval()
        with torch.no_grad():
            values = loss_of(own[torch.from_numpy(items).to(device)], items)[1]
        return dict(zip(MEASURES, values.tolist(), strict=True))

    for epoch in range(1, settings.epochs + 1):
        network.train()
        measured, sizes = [], []
        for items in chunks(rng.permutation(split.train), settings.batch_size):
            picked = pairs.neighbors[items, rng.integers(pairs.neighbors.shape[1], size=len(items))]
            swap = torch.from_numpy(rng.random(len(items)) < settings.neighbor_probability).to(device)
            inputs = torch.where(
                swap[:, None], foreign[torch.from_numpy(picked).to(device)], own[torch.from_numpy(items).to(device)]
            )
            loss, part = loss_of(inputs, items)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            measured.append(part)
            sizes.append(len(items))
        rate = optimizer.param_groups[0]["lr"]
        history.add_epoch(epoch, mean_measures(measured, sizes), measure(split.validation), rate)
    history.add_split(settings.epochs, "test", measure(split.test), rate)
    return network, history


def _loss(
    predicted: Tensor, all_targets: Tensor, items: Tensor, unscale: Tensor, settings: MLPHypernetwork
) -> tuple[Tensor, Tensor]:
    """(1 - w) * mean((o - y)^2) / mean(y^2) + w * CE(cos(o, all y) / temperature), and (4,) `MEASURES`.

    L1 and cosine are measured on rows of F, that is without the scale of the targets.
    """
    targets = all_targets[items]
    error = (predicted - targets).square().mean() / targets.square().mean()
    cosines = normalize(predicted, dim=1) @ normalize(all_targets, dim=1).T
    contrastive = cross_entropy(cosines / settings.temperature, items)
    loss = (1 - settings.contrastive_weight) * error + settings.contrastive_weight * contrastive
    rows, true = predicted.detach() * unscale, targets * unscale
    cosine = cosine_similarity(rows, true, dim=1, eps=1e-12).mean()
    return loss, torch.stack([loss.detach(), contrastive.detach(), normalized_l1(rows, true), cosine])
