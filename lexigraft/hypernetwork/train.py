"""Training of networks over word sets: BiLSTM and Setformer.

Words, batches and dropout of an epoch follow from (seed, epoch). So a resumed run needs no state of random generators and, on
a CPU, ends with the same bytes as one without interruptions.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexigraft.hypernetwork.history import EpochHistory
from lexigraft.hypernetwork.losses import hypernetwork_loss, mean_measures, split_loss
from lexigraft.hypernetwork.networks import SetNetwork, network_of
from lexigraft.hypernetwork.predict import forward, predict_sets, tensors_below
from lexigraft.hypernetwork.sampling import grouped_batches, resampled
from lexigraft.hypernetwork.sets import Integers, WordSets
from lexigraft.hypernetwork.settings import SetSettings
from lexigraft.hypernetwork.split import Split
from lexigraft.progress import progress
from lexigraft.training.checkpoints import Checkpoints, Tensors, restore_state, state_tensors
from lexigraft.training.interruption import Interrupted, Interruption
from lexigraft.training.precision import autocast, product_type
from lexigraft.training.seeds import derived_seed, own_generators

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
_WORDS, _DROPOUT = range(2)  # purposes of a seed, mixed into it
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
) -> tuple[SetNetwork, EpochHistory]:
    """Train and return the network of the epoch with the best validation loss.

    Args:
        seed: of initial weights, dropout, batches and words.
        checkpoints: of this run, to continue from and to write; None writes none.

    Raises:
        ConfigError: the settings do not fit the word vectors, or checkpoints are of another run.
        DivergedError: the validation loss is not finite; the checkpoints stay.
        Interrupted: the process was asked to stop; a checkpoint is written.
    """
    interruption = Interruption()
    with own_generators(device), interruption.watched() if checkpoints else nullcontext():
        torch.manual_seed(seed)
        run = SetTraining(settings, pairs, seed, device)
        if checkpoints and (newest := checkpoints.newest()):
            run.restore(newest, checkpoints.read(newest))
            log.info("continuing after epoch %d", newest)
        epochs = range(run.epoch + 1, settings.epochs + 1)
        for epoch in progress(epochs, len(epochs), f"{settings.kind} hypernetwork", "epochs"):
            if run.stopped_improving():
                log.info("stopped after epoch %d: no lower validation loss in %s epochs", run.epoch, settings.patience)
                break
            run.train_epoch(epoch)
            stop = interruption.requested
            if checkpoints and (checkpoints.due or stop):
                checkpoints.save(epoch, run.tensors())
            if checkpoints and stop and epoch < settings.epochs:
                raise Interrupted(epoch, checkpoints.folder, checkpoints.unit)
        return run.best_network()


class SetTraining:
    """A network in training, with everything that a checkpoint has to hold."""

    def __init__(self, settings: SetSettings, pairs: SetPairs, seed: int, device: torch.device) -> None:
        self.settings, self.pairs, self.seed, self.device = settings, pairs, seed, device
        self.network = network_of(settings, pairs.vectors.shape[1], pairs.targets.shape[1]).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.history = EpochHistory()
        self.epoch = 0
        self.best: dict[str, Tensor] = {}
        self.table = torch.from_numpy(pairs.vectors).to(device)
        self.train_sets = pairs.sets.part(pairs.split.train)
        self.train_rows = torch.from_numpy(pairs.targets[pairs.split.train]).to(device)
        log.info(
            "%s of %.1f M parameters on %s in %s: %d training pairs",
            type(self.network).__name__,
            sum(parameter.numel() for parameter in self.network.parameters()) / 1e6,
            device,
            str(product_type(settings.precision, device)).removeprefix("torch."),
            len(self.train_sets),
        )

    def train_epoch(self, epoch: int) -> None:
        """Train one epoch and measure it."""
        settings, network = self.settings, self.network
        torch.manual_seed(derived_seed(self.seed, _DROPOUT, epoch, bits=63))
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
        with autocast(self.settings.precision, self.device):
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

    def best_network(self) -> tuple[SetNetwork, EpochHistory]:
        """The network as it was after its best epoch, measured on the test split."""
        best = self.history.best_epoch()
        self.network.load_state_dict(self.best)
        self.history.add_split(best, "test", self.measure(self.pairs.split.test), self.rate(best))
        return self.network.eval(), self.history

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The whole state after an epoch; the best weights only if they are not the current ones."""
        best = {} if self.history.best_epoch() == self.epoch else self.best
        return {
            **self.history.tensors(),
            **state_tensors(self.network, self.optimizer),
            **{f"best/{name}": value.cpu().numpy() for name, value in best.items()},
        }

    def restore(self, epoch: int, tensors: Tensors) -> None:
        """Set everything to the state after an epoch, as `tensors` returned it."""
        restore_state(tensors, self.network, self.optimizer)
        best = tensors_below("best/", tensors) or tensors_below("model/", tensors)
        self.best = {name: torch.from_numpy(value) for name, value in best.items()}
        self.history.restore(tensors)
        self.epoch = epoch
