"""Fine-tuning of a tagger, resumable after every evaluation on the development sentences.

Order and dropout follow from (seed, epoch) and (seed, step), so a resumed run needs no state of random generators. A batch is
computed in micro-batches of pieces of similar length: the gradient is that of the whole batch, and there is little padding.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lexigraft.evaluation.tagging.encoding import Pieces, WordEncoder
from lexigraft.evaluation.tagging.entities import sentence_counts
from lexigraft.evaluation.tagging.model import Tagger
from lexigraft.evaluation.tagging.prediction import Labeled, logits_of, predict
from lexigraft.evaluation.tasks.tagging import FineTuning, scores_of
from lexigraft.progress import progress
from lexigraft.training.checkpoints import Checkpoints, model_names, restore_state, set_parameters, state_tensors
from lexigraft.training.divergence import check_finite
from lexigraft.training.history import History
from lexigraft.training.interruption import Interrupted, Interruption
from lexigraft.training.optimizer import adamw, schedule, set_rates
from lexigraft.training.precision import autocast
from lexigraft.training.seeds import derived_seed, own_generators

log = logging.getLogger(__name__)

Integers = NDArray[np.int64]
HISTORY = pl.Schema({"step": pl.Int64, "loss": pl.Float64, "dev_f1": pl.Float64, "dev_accuracy": pl.Float64})
_ORDER, _DROPOUT = range(2)  # purposes of a seed, mixed into it
_GROUP = "tagger"


@dataclass(slots=True)
class TaggerTraining:
    """A tagger in training.

    Attributes:
        history: a row per evaluation, and the losses of the steps since the last one.
        best_step, best_score: of the best evaluation, the first of equal ones.
    """

    tagger: Tagger
    encoder: WordEncoder
    settings: FineTuning
    device: torch.device
    optimizer: torch.optim.Optimizer
    history: History = field(default_factory=lambda: History({"history": HISTORY, "losses": pl.Schema({"loss": pl.Float64})}))
    best_step: int = 0
    best_score: float = -1.0

    @classmethod
    def of(cls, tagger: Tagger, encoder: WordEncoder, settings: FineTuning, device: torch.device) -> TaggerTraining:
        """Prepare a tagger: to its device, with the dropout of the settings."""
        tagger.to(device)
        if settings.dropout is not None:
            for module in tagger.modules():
                if isinstance(module, nn.Dropout):
                    module.p = settings.dropout
        optimizer = adamw({_GROUP: list(tagger.parameters())}, settings.weight_decay)
        return cls(tagger, encoder, settings, device, optimizer)

    def step(self, step: int, train: Labeled, chosen: Integers, factor: float = 1.0) -> float:
        """One optimizer step on the pieces `chosen`, with `factor` on the learning rate; returns the mean loss of their words.

        Raises:
            DivergedError: loss or gradient is not finite.
        """
        settings, tagger = self.settings, self.tagger.train()
        set_rates(self.optimizer, {_GROUP: settings.learning_rate}, factor)
        words = int((train.pieces.words[chosen + 1] - train.pieces.words[chosen]).sum())
        total = torch.zeros((), device=self.device)
        for part in micro_batches(train.pieces, chosen, settings.micro_batch):
            batch = self.encoder.batch(train.pieces, part)
            with autocast(settings.precision, self.device):
                logits = logits_of(tagger, batch, self.device)
                labels = torch.from_numpy(train.tags[batch.words]).to(self.device)
                loss: Tensor = cross_entropy(logits.float(), labels, reduction="sum") / words
            torch.autograd.backward(loss)
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(tagger.parameters(), settings.clip_norm)
        mean_loss, gradient_norm = (float(value) for value in torch.stack([total, norm]).tolist())
        hint = "lower `fine_tuning.learning_rate`; if it happens at the first step, the model itself is broken"
        check_finite(f"fine-tuning diverged at step {step}", hint, loss=mean_loss, gradient_norm=gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return mean_loss

    def evaluate(self, step: int, dev: Labeled, tags: list[str], headline: str) -> None:
        """Score the development sentences and record it."""
        what, precision = "development sentences", self.settings.precision
        predicted = predict(self.tagger, self.encoder, dev.pieces, self.device, what, precision)
        scores = scores_of(sentence_counts(dev.tags, predicted, dev.starts, tags))
        loss = float(np.mean(self.history.table("losses")["loss"].to_numpy()))
        log.info("step %d: loss %.4f, f1 %.2f, accuracy %.2f", step, loss, scores["f1"], scores["accuracy"])
        self.history.add("history", step=step, loss=loss, dev_f1=scores["f1"], dev_accuracy=scores["accuracy"])
        self.history.clear("losses")
        if scores[headline] > self.best_score:
            self.best_step, self.best_score = step, scores[headline]

    def save(self, checkpoints: Checkpoints, step: int) -> None:
        """Write a checkpoint; the best model is in that of its step."""
        tensors = {**self.history.tensors(), **state_tensors(self.tagger, self.optimizer)}
        needs = [self.best_step] if 0 < self.best_step < step else []
        checkpoints.save(step, tensors, needs, best_step=self.best_step, best_score=self.best_score)

    def resume(self, checkpoints: Checkpoints, step: int) -> None:
        """Take the state after `step`."""
        tensors, metadata = checkpoints.read(step), checkpoints.metadata(step)
        restore_state(tensors, self.tagger, self.optimizer)
        self.history.restore(tensors)
        self.best_step, self.best_score = metadata["best_step"], metadata["best_score"]


def fine_tune(
    tagger: Tagger,
    encoder: WordEncoder,
    train: Labeled,
    dev: Labeled,
    tags: list[str],
    settings: FineTuning,
    *,
    headline: str,
    seed: int,
    checkpoints: Checkpoints,
    device: torch.device,
) -> pl.DataFrame:
    """Train `tagger` and leave it with the weights that scored best on `dev`, the earliest of equals.

    Args:
        tagger: with a fresh linear layer; it is changed.
        encoder: made the pieces of `train` and `dev`.
        headline: of `METRICS`, the score that chooses.
        seed: of order and dropout.
        checkpoints: of this run, to continue from and to write.

    Returns:
        history, `HISTORY`: a row per evaluation.

    Raises:
        DivergedError: the loss became NaN or infinite.
        Interrupted: the process was asked to stop; a checkpoint is written.
    """
    run = TaggerTraining.of(tagger, encoder, settings, device)
    pieces = len(train.pieces)
    steps_per_epoch = math.ceil(pieces / settings.batch_size)
    steps = settings.epochs * steps_per_epoch
    if start := checkpoints.newest():
        run.resume(checkpoints, start)
    log.info(
        "%d steps (%d epochs of %d) on %d pieces of %d sentences; %s",
        *(steps, settings.epochs, steps_per_epoch, pieces, len(train.starts) - 1),
        f"continuing after step {start}" if start else "from the start",
    )
    with own_generators(device), Interruption().watched() as interruption:
        for step in progress(range(start + 1, steps + 1), steps - start, "fine-tuning", "steps"):
            torch.manual_seed(derived_seed(seed, _DROPOUT, step))
            chosen = batch_of(step, pieces, settings.batch_size, seed)
            factor = schedule(step, steps, settings.warmup_steps, from_zero=True)
            run.history.add("losses", loss=run.step(step, train, chosen, factor))
            due, stop = step % settings.evaluate_every == 0 or step == steps, interruption.requested
            if due:
                run.evaluate(step, dev, tags, headline)
            if due or stop:
                run.save(checkpoints, step)
            if stop and step < steps:
                raise Interrupted(step, checkpoints.folder)
    set_parameters(tagger, checkpoints.read(run.best_step, model_names(tagger)), "model/")
    log.info("best after step %d: %s %.2f on the development sentences", run.best_step, headline, run.best_score)
    return run.history.table("history")


def batch_of(step: int, pieces: int, size: int, seed: int) -> Integers:
    """Pieces of the batch of `step` (from 1): every epoch is a permutation of its own, its last batch may be smaller."""
    epoch, place = divmod(step - 1, math.ceil(pieces / size))
    order = np.random.default_rng([seed, _ORDER, epoch]).permutation(pieces)
    return order[place * size : (place + 1) * size]


def micro_batches(pieces: Pieces, chosen: Integers, size: int) -> Iterator[Integers]:
    """Parts of a batch, at most `size` pieces each, pieces of similar length together."""
    order = chosen[np.argsort(pieces.lengths[chosen], kind="stable")]
    for first in range(0, len(order), size):
        yield order[first : first + size]
