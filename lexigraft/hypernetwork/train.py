"""Training of networks over word sets: BiLSTM and Setformer.

Words, batches and dropout of an epoch follow from (seed, epoch). So a resumed run needs no state of random generators and, on
a CPU, ends with the same bytes as one that was never stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexigraft.hypernetwork.checkpoints import Checkpoints
from lexigraft.hypernetwork.history import History
from lexigraft.hypernetwork.losses import hypernetwork_loss, mean_measures, split_loss
from lexigraft.hypernetwork.networks.sets import SetNetwork, set_network
from lexigraft.hypernetwork.predict import forward, predict_sets
from lexigraft.hypernetwork.sampling import grouped_batches, resampled
from lexigraft.hypernetwork.sets import Integers, WordSets
from lexigraft.hypernetwork.settings import SetSettings
from lexigraft.hypernetwork.split import Split
from lexigraft.progress import progress

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
_WORDS, _DROPOUT = range(2)  # what a seed is for, mixed into it
_LINES_IN_LOG = 25


@dataclass(frozen=True, slots=True)
class SetPairs:
    """Pairs of (set of words, row of F), and how they are split.

    Attributes:
        sets: N sets.
        targets: (N, D') float32.
        vectors: (words, width) float32, frozen.
        split: of the N pairs.
    """

    sets: WordSets
    targets: Floats
    vectors: Floats
    split: Split


def train(
    settings: SetSettings, pairs: SetPairs, *, seed: int, device: torch.device, checkpoints: Checkpoints | None = None
) -> tuple[SetNetwork, History]:
    """Train and return the network of the epoch with the best validation loss.

    Args:
        seed: of initial weights, dropout, batches and words.
        checkpoints: of this run, to go on from and to write; None writes none.

    Raises:
        ConfigError: the settings do not fit the word vectors, or checkpoints are of another run.
        InputError: the validation loss is not finite; the checkpoints stay.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        run = Run(settings, pairs, seed, device)
        resumed = checkpoints.newest() if checkpoints else None
        if resumed:
            run.restore(*resumed)
            log.info("going on after epoch %d", run.epoch)
        epochs = range(run.epoch + 1, settings.epochs + 1)
        for epoch in progress(epochs, len(epochs), f"{settings.kind} hypernetwork", "epochs"):
            if run.stopped_improving():
                log.info("stopped after epoch %d: no lower validation loss in %s epochs", run.epoch, settings.patience)
                break
            run.advance(epoch)
            if checkpoints:
                checkpoints.offer(epoch, run.tensors)
        return run.finish()


class Run:
    """A network in training, with everything that a checkpoint has to hold."""

    def __init__(self, settings: SetSettings, pairs: SetPairs, seed: int, device: torch.device) -> None:
        self.settings, self.pairs, self.seed, self.device = settings, pairs, seed, device
        self.network = set_network(settings, pairs.vectors.shape[1], pairs.targets.shape[1]).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.history = History()
        self.epoch = 0
        self.best: dict[str, Tensor] = {}
        self.precision = precision_of(settings.precision, device)
        self.table = torch.from_numpy(pairs.vectors).to(device)
        self.train_sets = pairs.sets.part(pairs.split.train)
        self.train_rows = torch.from_numpy(pairs.targets[pairs.split.train]).to(device)
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        log.info(
            "%s of %.1f M parameters on %s in %s: %d training pairs",
            type(self.network).__name__,
            parameters / 1e6,
            device,
            str(self.precision).removeprefix("torch."),
            len(self.train_sets),
        )

    def advance(self, epoch: int) -> None:
        """Train one epoch and measure it."""
        settings, network = self.settings, self.network
        torch.manual_seed(_derived_seed(self.seed, _DROPOUT, epoch))
        rng = np.random.default_rng([self.seed, _WORDS, epoch])
        rate = self.rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        network.train()
        seen = resampled(self.train_sets, settings.max_words, settings.word_sampling, rng)
        measured, sizes = [], []
        for batch in grouped_batches(seen.lengths, settings.batch_size, rng):
            measured.append(self.step(seen, batch))
            sizes.append(len(batch))
        means, validation = mean_measures(measured, sizes), self.measure(self.pairs.split.validation)
        self.history.add_epoch(epoch, means, validation, rate)
        self.epoch = epoch
        if epoch % max(1, settings.epochs // _LINES_IN_LOG) == 0:
            log.info(
                "epoch %d: loss %.4f in training, %.4f in validation, cosine %.4f",
                epoch,
                means["loss"],
                validation["loss"],
                validation["cosine"],
            )
        if self.history.best_epoch() == epoch:
            self.best = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch."""
        settings = self.settings
        return float(settings.learning_rate * settings.decay ** ((epoch - 1) // settings.decay_every))

    def step(self, seen: WordSets, batch: Integers) -> Tensor:
        """One optimizer step; returns (4,) `MEASURES` of the batch before it."""
        rows = self.train_rows[torch.from_numpy(batch).to(self.device)]
        with _autocast(self.precision, self.device):
            predicted = forward(self.network, seen, batch, self.table)
        loss, measures = hypernetwork_loss(predicted.float(), rows, self.settings.contrastive_weight, self.settings.temperature)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return measures

    def measure(self, items: Integers) -> dict[str, float]:
        """`MEASURES` of some of the pairs, predicted once each."""
        settings = self.settings.model_copy(update={"prediction_draws": 1})
        predicted = predict_sets(self.network, settings, self.pairs.sets.part(items), self.table, self.seed)
        return split_loss(
            torch.from_numpy(predicted),
            torch.from_numpy(self.pairs.targets[items]),
            settings.contrastive_weight,
            settings.temperature,
            settings.batch_size,
        )

    def stopped_improving(self) -> bool:
        """Whether `patience` epochs have gone by without a better one."""
        patience = self.settings.patience
        return patience is not None and self.epoch > 0 and self.epoch - self.history.best_epoch() >= patience

    def finish(self) -> tuple[SetNetwork, History]:
        """The network as it was after its best epoch, measured on the test split."""
        best = self.history.best_epoch()
        self.network.load_state_dict(self.best)
        self.history.add(best, "test", self.measure(self.pairs.split.test), self.rate(best))
        return self.network.eval(), self.history

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The whole state after an epoch; the best weights only where they are not the present ones."""
        tensors = self.history.tensors()
        for name, parameter in self.network.named_parameters():
            tensors[f"network/{name}"] = parameter.detach().cpu().numpy()
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
        if self.history.best_epoch() != self.epoch:
            tensors |= {f"best/{name}": value.cpu().numpy() for name, value in self.best.items()}
        return tensors

    def restore(self, epoch: int, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Go back to the state that `tensors` were made of."""
        state = _below("network/", tensors)
        self.network.load_state_dict(state)
        self.best = _below("best/", tensors) or state
        parameters = dict(self.network.named_parameters())
        for full_name, array in tensors.items():
            if full_name.startswith("optimizer/"):
                _, key, name = full_name.split("/", 2)
                value = torch.from_numpy(array)
                # Adam counts its steps in a scalar that stays on the CPU
                self.optimizer.state[parameters[name]][key] = value.reshape(()) if key == "step" else value.to(self.device)
        self.history, self.epoch = History.restored(tensors), epoch


def precision_of(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products; `auto` is bfloat16 on GPUs that have it."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _autocast(precision: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)


def _below(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): torch.from_numpy(value) for name, value in tensors.items() if name.startswith(prefix)}


def _derived_seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
