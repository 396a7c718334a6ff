"""HyperOFA's hypernetwork: a BiLSTM over the set of a token's word vectors, and its training.

arXiv 2504.21018, sections 3.2, 3.3 and 4.2, Table 6.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexigraft.errors import InputError
from lexigraft.hypernetwork.history import History
from lexigraft.hypernetwork.losses import hypernetwork_loss
from lexigraft.hypernetwork.sets import Integers, WordSets, grouped_batches, sorted_batches
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork
from lexigraft.hypernetwork.split import split_pairs
from lexigraft.progress import progress

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]


class BiLSTM(nn.Module):
    """(sets of word vectors) -> coordinates.

    The two directions are LSTMs of their own over the padded batch, the backward one over each sequence reversed within its
    length. That is the packed bidirectional `nn.LSTM`, whose gradient on a CPU takes time that grows with the square of the
    length (every time step's slice of the packed batch is padded to the whole of it).

    Args:
        width: of the word vectors.
        rank: D', width of the coordinates.
        settings: hidden size, layers and dropout.
    """

    def __init__(self, width: int, rank: int, settings: BiLSTMHypernetwork) -> None:
        super().__init__()
        self.rank = rank
        hidden = settings.hidden
        widths = [width] + [2 * hidden] * (settings.layers - 1)
        self.onward = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in widths)
        self.backward_ = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in widths)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Sequential(
            nn.Linear(2 * hidden, 2 * rank), nn.GELU(), nn.Dropout(settings.dropout), nn.Linear(2 * rank, rank)
        )

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Coordinates (batch, D') from padded word vectors (batch, longest, width) and lengths (batch,)."""
        places = torch.arange(vectors.shape[1], device=vectors.device)[None, :]
        mirrored = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)[:, :, None]
        last = (lengths - 1)[:, None, None]
        ahead, behind = vectors, torch.take_along_dim(vectors, mirrored, dim=1)
        for layer, (onward, backward) in enumerate(zip(self.onward, self.backward_, strict=True)):
            if layer:
                # the two outputs stand in opposite orders; each direction reads both in its own
                both = self.dropout(torch.cat([ahead, torch.take_along_dim(behind, mirrored, dim=1)], dim=2))
                ahead, behind = both, torch.take_along_dim(both, mirrored, dim=1)
            ahead, behind = onward(ahead)[0], backward(behind)[0]
        final = [torch.take_along_dim(states, last, dim=1)[:, 0] for states in (ahead, behind)]
        rows: Tensor = self.head(torch.cat(final, dim=1))
        return rows


def train(
    settings: BiLSTMHypernetwork, sets: WordSets, vectors: Floats, targets: Floats, *, seed: int, device: torch.device
) -> tuple[BiLSTM, History]:
    """Train on (set of words, row of F) pairs and return the network of the epoch with the best validation loss.

    Args:
        sets: N sets of words.
        vectors: (words, width) float32, frozen.
        targets: (N, D') float32, the rows of F.
        seed: of initial weights, dropout, batches and word order.

    Raises:
        InputError: too few pairs for a validation split, or the loss is not finite.
    """
    train_items, validation_items, test_items = split_pairs(len(sets), settings.validation, settings.test, settings.split_seed)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = BiLSTM(vectors.shape[1], targets.shape[1], settings).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, settings.decay_every, settings.decay)
    words, rows = torch.from_numpy(vectors).to(device), torch.from_numpy(targets).to(device)
    history, best, best_loss = History(), dict[str, Tensor](), float("inf")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    log.info("BiLSTM of %.1f M parameters on %s: %d training pairs", parameters / 1e6, device, len(train_items))
    fixed = sets.truncated(settings.max_words) if settings.word_sampling == "parity" else sets.capped(settings.max_words, 0)

    def measure(items: Integers) -> dict[str, float]:
        network.eval()
        with torch.no_grad():
            return _mean(
                [
                    (hypernetwork_loss(_predict(network, words, fixed, batch), rows[batch], *weights)[1], len(batch))
                    for batch in (items[order] for order in sorted_batches(fixed.lengths[items], settings.batch_size))
                ]
            )

    weights = (settings.contrastive_weight, settings.temperature)
    for epoch in progress(range(1, settings.epochs + 1), settings.epochs, "BiLSTM hypernetwork", "epochs"):
        network.train()
        seen = sets.resampled(settings.max_words, settings.word_sampling, rng)
        parts = []
        for order in grouped_batches(seen.lengths[train_items], settings.batch_size, rng):
            batch = train_items[order]
            loss, part = hypernetwork_loss(_predict(network, words, seen, batch), rows[batch], *weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            parts.append((part, len(batch)))
        validation = measure(validation_items)
        rate = optimizer.param_groups[0]["lr"]
        history.add(epoch, "train", _mean(parts), rate)
        history.add(epoch, "validation", validation, rate)
        if not np.isfinite(validation["loss"]):
            raise InputError(
                f"the validation loss of epoch {epoch} is {validation['loss']}", hint="use a smaller `learning_rate`"
            )
        if validation["loss"] < best_loss:
            best_loss = validation["loss"]
            best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        schedule.step()
    network.load_state_dict(best)
    history.add(history.best_epoch(), "test", measure(test_items), rate)
    return network, history


@torch.no_grad()
def predict(network: BiLSTM, settings: BiLSTMHypernetwork, sets: WordSets, vectors: Floats, device: torch.device) -> Floats:
    """Coordinates (N, D') float32 of N sets; sets that are too long are cut to the same words every time."""
    fixed = sets.truncated(settings.max_words) if settings.word_sampling == "parity" else sets.capped(settings.max_words, 0)
    network.eval().to(device)
    words = torch.from_numpy(vectors).to(device)
    batches = list(sorted_batches(fixed.lengths, settings.batch_size))
    rows = np.empty((len(sets), network.rank), dtype=np.float32)
    for batch in progress(batches, len(batches), "prediction", "batches"):
        rows[batch] = _predict(network, words, fixed, batch).cpu().numpy()
    return rows


def _predict(network: BiLSTM, words: Tensor, sets: WordSets, items: Integers) -> Tensor:
    indices, lengths = sets.padded(items)
    rows: Tensor = network(words[torch.from_numpy(indices).to(words.device)], torch.from_numpy(lengths).to(words.device))
    return rows


def _mean(parts: list[tuple[dict[str, float], int]]) -> dict[str, float]:
    total = sum(size for _, size in parts)
    return {name: sum(part[name] * size for part, size in parts) / total for name in parts[0][0]} if total else {}
