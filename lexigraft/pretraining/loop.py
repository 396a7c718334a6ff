"""The training loop: gradient accumulation, phases, and checkpoints that a killed run goes on from.

Order, masking and dropout of a micro-batch follow from (seed, step, number of the micro-batch in the step), whichever process
computes it. So a resumed run needs no state of random generators, and the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from lexigraft.errors import ConfigError
from lexigraft.modeling.output_head import OutputHead, output_head
from lexigraft.pretraining.checkpoints import Place, read_checkpoint, read_place, save_checkpoint
from lexigraft.pretraining.failures import diverged, out_of_memory
from lexigraft.pretraining.group import Group
from lexigraft.pretraining.held_out import HeldOut
from lexigraft.pretraining.history import History, write_so_far
from lexigraft.pretraining.interruption import Interrupted, Interruption
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.objectives import Batch, Objective, objective_of
from lexigraft.pretraining.optimizer import adamw, schedule, set_rates
from lexigraft.pretraining.shards import Shard, open_shards
from lexigraft.pretraining.stream import Stream, shares
from lexigraft.pretraining.trainable import load_trainable, prepared_for_training
from lexigraft.pretraining.watch import Watch, summary_writer
from lexigraft.tokenizers.vocabulary import read_vocabulary

log = logging.getLogger(__name__)

_ORDER, _MASKING, _DROPOUT = range(3)  # what a seed is for, mixed into it


@dataclass(slots=True)
class Data:
    """Sequences, their order, and what is asked of them."""

    shards: list[Shard]
    stream: Stream
    objective: Objective
    job: Job

    @classmethod
    def of(cls, job: Job) -> Data:
        """Data of a job, whose shards are checked."""
        settings = job.settings
        shards = open_shards(job.data_paths, settings.held_out_sequences)
        sizes = tuple(shard.training_rows for shard in shards)
        drawn = shares(sizes, settings.sampling_exponent)
        stream = Stream(sizes, drawn, derived_seed(job.seed, _ORDER), settings.buffer)
        objective = objective_of(settings, read_vocabulary(job.vocabulary_path), job.vocabulary_path)
        return cls(shards, stream, objective, job)

    def tokens(self, step: int, number: int) -> NDArray[np.int32]:
        """(B, L) tokens of micro-batch `number` (from 0) of `step` (from 1)."""
        settings = self.job.settings
        first = ((step - 1) * settings.accumulation + number) * settings.batch_size
        languages, ranks = self.stream.at(first, settings.batch_size)
        return np.stack([self._sequence(int(language), int(rank)) for language, rank in zip(languages, ranks, strict=True)])

    def batch(self, step: int, number: int) -> Batch:
        """Micro-batch `number` (from 0) of `step` (from 1)."""
        rng = np.random.default_rng([self.job.seed, _MASKING, step, number])
        return self.objective.batch(self.tokens(step, number), rng)

    def place(self, step: int) -> Place:
        """Where the run stands after `step`."""
        settings = self.job.settings
        position = step * settings.accumulation * settings.batch_size
        drawn = zip(self.shards, self.stream.counts(position).tolist(), strict=True)
        return Place(step, position, {shard.language: count for shard, count in drawn}, self.job.seed)

    def _sequence(self, language: int, rank: int) -> NDArray[np.int32]:
        shard = self.shards[language]
        return shard[int(shard.row_of(np.array([rank]))[0])]


@dataclass(slots=True)
class Learner:
    """The model and what changes it."""

    model: PreTrainedModel
    head: OutputHead
    encode: Callable[..., Any]
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter] = field(default_factory=list)

    @classmethod
    def of(cls, job: Job, device: torch.device) -> Learner:
        """Load the model of a job to a device."""
        settings = job.settings
        model = prepared_for_training(load_trainable(job.model_folder, settings.objective), settings, device)
        head = output_head(model, settings.output_kernel)
        encode = torch.compile(model.base_model) if settings.compile else model.base_model
        if settings.objective == "causal":
            encode = partial(encode, use_cache=False)
        return cls(model, head, encode, adamw(model, settings), list(model.parameters()))

    def summed_loss(self, batch: Batch, group: Group) -> Tensor:
        """Sum of the losses of a batch's predicted tokens, float32."""
        ids, positions, labels = (
            torch.from_numpy(array).to(group.device) for array in (batch.input_ids, batch.positions, batch.labels)
        )
        with group.autocast():
            hidden = self.encode(ids).last_hidden_state
            return self.head.loss(hidden.flatten(0, 1)[positions], labels)


def train(job: Job, group: Group) -> None:
    """Train up to the last step; the result is the checkpoints of the named steps in `job.folder`.

    Args:
        job: the run; `engine.prepare` has checked it.
        group: this process among all of the run. Only the first writes.

    Raises:
        Interrupted: the process was told to stop; a checkpoint is written.
        LexigraftError: the loss or the gradient is no longer finite, memory or disk are full.
    """
    torch.set_num_threads(job.threads)
    expected = job.processes * job.machines
    if group.size != expected:
        raise ConfigError(f"{group.size} processes were started, the run is for {expected}", hint="set `gpus` and `nodes`")
    with (
        torch.random.fork_rng(devices=[group.device] if group.device.type == "cuda" else []),
        Interruption(job.stop_file).watched() as interruption,
        out_of_memory(job.settings),
    ):
        _train(job, group, interruption)


def _train(job: Job, group: Group, interruption: Interruption) -> None:
    settings = job.settings
    data = Data.of(job)
    learner = Learner.of(job, group.device)
    held_out = HeldOut.of(data.shards, data.objective, settings.batch_size)
    history = _restored(job, data, learner) if job.start else History()
    _announce(job, group, data)

    first = group.rank == 0
    tokens_a_step = settings.batch_size * settings.accumulation * settings.length
    writer = summary_writer(job.tensorboard_folder, job.start) if settings.tensorboard and first else None
    watch = Watch(history, job.start, settings.steps, tokens_a_step, writer) if first else None
    if job.start == 0 and settings.measured_at(0):
        _measure(0, data, learner, held_out, history, group, watch)
    if group.device.type == "cuda":
        _try_out(data, learner, group, job.start + 1)
    if watch is not None:
        watch.restart()

    saved = time.monotonic()
    try:
        for step in range(job.start + 1, settings.steps + 1):
            phase, rates = settings.rates_at(step)
            factor = schedule(step, settings.steps, settings.warmup_steps, settings.schedule)
            set_rates(learner.optimizer, rates, factor)
            loss, norm, predicted, stop = _step(step, data, learner, group, interruption)
            shown = {name: rate * factor for name, rate in rates.items()}
            history.add(
                "history",
                step=step,
                tokens=step * tokens_a_step,
                loss=loss,
                learning_rate=shown["encoder"] or max(shown.values()),
                gradient_norm=norm,
                predicted=predicted,
                phase=phase,
            )
            if watch is not None:
                watch.step(step, loss, shown, norm)
            if settings.measured_at(step):
                _measure(step, data, learner, held_out, history, group, watch)
                if watch is not None:
                    watch.restart()
            late = settings.save_minutes is not None and time.monotonic() - saved > 60 * settings.save_minutes
            due = step % settings.save_every == 0 or step in settings.checkpoints
            if first and (due or late or stop):
                _save(job, data.place(step), learner, history)
                saved = time.monotonic()
            if stop and step < settings.steps:
                raise Interrupted(step, job.folder)
    finally:
        if watch is not None:
            watch.close()


def _step(step: int, data: Data, learner: Learner, group: Group, interruption: Interruption) -> tuple[float, float, int, bool]:
    """One optimizer step: mean loss, gradient norm, number of predicted tokens, and whether a process was told to stop."""
    settings = data.job.settings
    # this process's share of the step's micro-batches; the loss is the mean over the predicted tokens of all of them
    numbers = range(group.rank, settings.accumulation, group.size)
    batches = [data.batch(step, number) for number in numbers]
    predicted = int(group.sum(torch.tensor(sum(len(batch.labels) for batch in batches), device=group.device)))
    losses = []
    for number, batch in zip(numbers, batches, strict=True):
        torch.manual_seed(derived_seed(data.job.seed, _DROPOUT, step, number))
        loss = learner.summed_loss(batch, group) / max(predicted, 1)
        torch.autograd.backward(loss)
        losses.append(loss.detach())
    asked = torch.tensor(float(interruption.asked), device=group.device)
    told = group.sum(torch.stack([torch.stack(losses).sum(), asked]))
    group.sum_gradients(learner.parameters)
    norm = nn.utils.clip_grad_norm_([p for p in learner.parameters if p.grad is not None], settings.clip_norm)
    mean_loss, stop, gradient_norm = torch.cat([told, norm[None]]).tolist()
    if not (math.isfinite(mean_loss) and math.isfinite(gradient_norm)):
        own = dict(zip(numbers, zip(batches, losses, strict=True), strict=True))
        raise diverged(data.job, group.rank, step, mean_loss, gradient_norm, own)
    learner.optimizer.step()
    learner.optimizer.zero_grad()
    return mean_loss, gradient_norm, predicted, stop > 0


def restore_model(model: PreTrainedModel, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Set all parameters to those of a checkpoint."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(tensors[f"model/{name}"]))


def derived_seed(*entropy: int) -> int:
    """A seed for one purpose."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def _measure(
    step: int, data: Data, learner: Learner, held_out: HeldOut, history: History, group: Group, watch: Watch | None
) -> None:
    learner.model.train(False)
    # not worth compiling for, and batches of other sizes would use up the number of times that torch compiles anew
    as_it_is: Any = torch.compiler.set_stance("force_eager") if data.job.settings.compile else nullcontext()
    with as_it_is:
        losses = held_out.losses(lambda batch: learner.summed_loss(batch, group), group)
    learner.model.train()
    tokens = data.place(step).position * data.job.settings.length
    for language, (loss, predicted) in losses.items():
        history.add("held_out", step=step, tokens=tokens, language=language, loss=loss, predicted=predicted)
    if watch is not None and losses:
        watch.held_out(step, {held_out.languages[language]: loss for language, (loss, _) in losses.items()})


def _try_out(data: Data, learner: Learner, group: Group, step: int) -> None:
    """One forward and backward pass before the first step: a batch that is too large is told of at once."""
    loss = learner.summed_loss(data.batch(step, 0), group)
    torch.autograd.backward(loss)
    for parameter in learner.parameters:
        parameter.grad = None


def _save(job: Job, place: Place, learner: Learner, history: History) -> None:
    tensors = history.tensors()
    for name, parameter in learner.model.named_parameters():
        tensors[f"model/{name}"] = parameter.detach().cpu().numpy()
        for key, value in learner.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
    save_checkpoint(job.folder, place, tensors, job.fingerprint, job.settings.checkpoints)
    write_so_far(history, list(place.drawn), job.folder, place.step, job.seed)


def _restored(job: Job, data: Data, learner: Learner) -> History:
    """Set model and optimizer to the checkpoint that the job starts from and return its history."""
    place, here = read_place(job.folder, job.start), data.place(job.start)
    if place != here:
        raise ConfigError(
            f"the checkpoint of step {job.start} stands at sequence {place.position}, this run at {here.position}",
            where=job.folder,
            hint=f"delete the folder {job.folder} to start anew",
        )
    tensors = read_checkpoint(job.folder, job.start)
    restore_model(learner.model, tensors)
    parameters = dict(learner.model.named_parameters())
    for full_name, array in tensors.items():
        if full_name.startswith("optimizer/"):
            _, key, name = full_name.split("/")
            learner.optimizer.state[parameters[name]][key] = torch.from_numpy(array).to(parameters[name].device)
    return History.restored(tensors)


def _announce(job: Job, group: Group, data: Data) -> None:
    settings = job.settings
    device = torch.cuda.get_device_name(group.device) if group.device.type == "cuda" else "CPU"
    precision = "bfloat16" if group.bfloat16 else "float32"
    log.info(
        "device: %s, %d process(es) on %d machine(s), threads of each: %d, %s",
        *(device, group.size, job.machines, job.threads, precision),
    )
    batch = settings.batch_size * settings.accumulation
    log.info("effective batch: %d sequences of %d tokens in %d micro-batches", batch, settings.length, settings.accumulation)
    for shard, drawn in zip(data.shards, data.stream.drawn, strict=True):
        share = drawn / data.stream.epoch
        log.info(
            "%s: %d sequences, %d held out, %.2f %% of the batches",
            shard.language,
            shard.rows,
            len(shard.held_out),
            100 * share,
        )
    log.info(
        "%d steps over %d sequences: %.2f epochs; %s",
        settings.steps,
        data.stream.epoch,
        settings.steps * batch / data.stream.epoch,
        f"going on after step {job.start}" if job.start else "from the start",
    )
