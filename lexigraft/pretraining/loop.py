"""The training loop of continual pre-training: one optimizer step after the other, from batches to checkpoints.

Order, masking and dropout of a micro-batch follow from (seed, step, number of the micro-batch in the step), whichever process
computes it. So a resumed run needs no state of random generators, and the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from lexigraft.errors import ConfigError
from lexigraft.modeling.output_head import OutputHead, output_head
from lexigraft.pretraining.data import DROPOUT, TrainingData
from lexigraft.pretraining.failures import out_of_memory, save_batches
from lexigraft.pretraining.group import sum_gradients, total
from lexigraft.pretraining.history import TABLES, write_so_far
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.model import MODEL_KINDS, prepared_for_training
from lexigraft.pretraining.objectives import objective_of
from lexigraft.pretraining.objectives.base import Batch, Objective
from lexigraft.pretraining.optimizer import adamw
from lexigraft.pretraining.progress_log import ProgressLog
from lexigraft.training.checkpoints import restore_state, state_tensors
from lexigraft.training.divergence import check_finite
from lexigraft.training.history import History
from lexigraft.training.interruption import Interrupted, Interruption
from lexigraft.training.optimizer import schedule, set_rates
from lexigraft.training.precision import autocast, product_type
from lexigraft.training.seeds import derived_seed, own_generators

log = logging.getLogger(__name__)

_DIVERGED = (
    "lower `learning_rates` or raise `warmup_steps`, and delete that folder to start again from the beginning; "
    "if it happens at the first step, the initialized model or its data are broken"
)


@dataclass(slots=True)
class TrainingState:
    """The model and what changes it; `encode` is the model without its head, compiled if the settings say so."""

    model: PreTrainedModel
    encode: Callable[..., Any]
    head: OutputHead
    objective: Objective
    optimizer: torch.optim.Optimizer
    precision: str = "float32"

    @classmethod
    def of(cls, job: Job, device: torch.device) -> TrainingState:
        """Load the model of a job to a device."""
        settings, objective = job.settings, objective_of(job.settings)
        model = prepared_for_training(MODEL_KINDS[objective.model_kind].load(job.model_folder), settings, device)
        head = output_head(model, settings.output_kernel)
        encode = torch.compile(model.base_model) if settings.compile else model.base_model
        return cls(model, encode, head, objective, adamw(model, settings), settings.precision)

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the losses of a batch's predicted tokens, float32."""
        with autocast(self.precision, self.model.device):
            return self.objective.loss(self.encode, self.head, batch, self.model.device)


def train(job: Job, group: Accelerator) -> None:
    """Train up to the last step; the result is the checkpoints of the named steps in `job.folder`.

    Args:
        job: the run; `engine.prepare` has checked it.
        group: this process among all of the run. Only the first writes.

    Raises:
        Interrupted: the process was asked to stop; a checkpoint is written.
        LexigraftError: the loss or the gradient is no longer finite, memory or disk are full.
    """
    torch.set_num_threads(job.threads)
    found, expected = group.num_processes, job.processes * job.machines
    if found != expected:
        raise ConfigError(f"{found} processes were started, the run is for {expected}", hint="set `gpus` and `nodes`")
    with (
        own_generators(group.device),
        Interruption(job.stop_file).watched() as interruption,
        out_of_memory(job.settings),
    ):
        _train(job, group, interruption)


def _train(job: Job, group: Accelerator, interruption: Interruption) -> None:
    settings, history, checkpoints = job.settings, History(TABLES), job.checkpoints()
    data, state = TrainingData.of(job), TrainingState.of(job, group.device)
    held_out = list(data.held_out())
    model, optimizer = state.model, state.optimizer
    if job.start:
        _resume(job, data, state, history)
    _announce(job, group, data)
    if group.device.type == "cuda":
        # a batch that is too large is an error at once
        torch.autograd.backward(state.loss(data.batch(job.start + 1, 0)))
        for parameter in model.parameters():
            parameter.grad = None
    progress = ProgressLog(job, history) if group.is_main_process else None
    measure = partial(_measure, data, held_out, state, history, group, progress)
    if job.start == 0 and settings.measured_at(0):
        measure(0)

    try:
        for step in range(job.start + 1, settings.steps + 1):
            # the learning rates of the step's phase
            phase, peaks = settings.rates_at(step)
            factor = schedule(step, settings.steps, settings.warmup_steps, settings.schedule)
            set_rates(optimizer, peaks, factor)

            # this process's share of the step's micro-batches; the loss is the mean over the predicted tokens of all of them
            numbers = range(group.process_index, settings.accumulation, group.num_processes)
            batches = [data.batch(step, number) for number in numbers]
            predicted = int(total(group, torch.tensor(sum(len(batch.labels) for batch in batches), device=group.device)))
            losses = []
            for number, batch in zip(numbers, batches, strict=True):
                torch.manual_seed(derived_seed(job.seed, DROPOUT, step, number))
                share = state.loss(batch) / max(predicted, 1)
                torch.autograd.backward(share)
                losses.append(share.detach())

            # loss, gradients and requests to stop of all processes
            requested = torch.tensor(float(interruption.requested), device=group.device)
            totals = total(group, torch.stack([torch.stack(losses).sum(), requested]))
            sum_gradients(group, model.parameters())
            trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
            norm = nn.utils.clip_grad_norm_(trained, settings.clip_norm)
            loss, stop, gradient_norm = torch.cat([totals, norm[None]]).tolist()
            own = dict(zip(numbers, zip(batches, losses, strict=True), strict=True))
            check_finite(
                f"pre-training diverged at step {step}",
                _DIVERGED,
                partial(save_batches, job, group.process_index, step, own),
                loss=loss,
                gradient_norm=gradient_norm,
            )
            optimizer.step()
            optimizer.zero_grad()

            # what is recorded of the step
            rates = {name: peak * factor for name, peak in peaks.items()}
            history.add(
                "history",
                step=step,
                tokens=step * job.tokens_per_step,
                loss=loss,
                learning_rate=rates["encoder"] or max(rates.values()),
                gradient_norm=gradient_norm,
                predicted=predicted,
                phase=phase,
            )
            if progress is not None:
                progress.step(step, loss, rates, gradient_norm)
            if settings.measured_at(step):
                measure(step)

            # a checkpoint, where one is due
            named = step in settings.checkpoints
            if group.is_main_process and (named or step % settings.save_every == 0 or checkpoints.due or stop):
                needs = [earlier for earlier in settings.checkpoints if earlier < step]
                tensors = {**history.tensors(), **state_tensors(model, optimizer)}
                checkpoints.save(step, tensors, needs, drawn=data.drawn(step))
                write_so_far(history, data.languages, job.folder, step, job.seed)
            if stop and step < settings.steps:
                raise Interrupted(step, job.folder)
    finally:
        if progress is not None:
            progress.close()


def _measure(
    data: TrainingData,
    batches: list[tuple[int, Batch]],
    state: TrainingState,
    history: History,
    group: Accelerator,
    progress: ProgressLog | None,
    step: int,
) -> None:
    """Record the mean loss of each language's held-out sequences, whose batches the processes share."""
    sums = torch.zeros(len(data.shards), 2, dtype=torch.float64, device=group.device)
    state.model.train(False)
    # not worth compiling for, and batches of other sizes would use up the number of times that torch compiles again
    eager: Any = torch.compiler.set_stance("force_eager") if data.settings.compile else nullcontext()
    with eager, torch.no_grad():
        for number, (language, batch) in enumerate(batches):
            if number % group.num_processes == group.process_index and len(batch.labels):
                sums[language, 0] += state.loss(batch).double()
                sums[language, 1] += len(batch.labels)
    state.model.train()
    losses = {n: (loss / count, int(count)) for n, (loss, count) in enumerate(total(group, sums).tolist()) if count}
    tokens = sum(data.drawn(step).values()) * data.settings.length
    for language, (loss, predicted) in losses.items():
        history.add("held_out", step=step, tokens=tokens, language=language, loss=loss, predicted=predicted)
    if progress is not None:
        progress.held_out(step, {data.languages[language]: loss for language, (loss, _) in losses.items()})


def _resume(job: Job, data: TrainingData, state: TrainingState, history: History) -> None:
    """Set model, optimizer and history to the checkpoint that the job starts from."""
    checkpoints = job.checkpoints()
    found, expected = checkpoints.metadata(job.start)["drawn"], data.drawn(job.start)
    if found != expected:
        raise ConfigError(
            f"the checkpoint of step {job.start} is at other sequences ({found}) than this run ({expected})",
            where=job.folder,
            hint=f"delete the folder {job.folder} to start again from the beginning",
        )
    tensors = checkpoints.read(job.start)
    restore_state(tensors, state.model, state.optimizer)
    history.restore(tensors)


def _announce(job: Job, group: Accelerator, data: TrainingData) -> None:
    settings, stream = job.settings, data.stream
    device = torch.cuda.get_device_name(group.device) if group.device.type == "cuda" else "CPU"
    precision = str(product_type(settings.precision, group.device)).removeprefix("torch.")
    log.info(
        "device: %s, %d process(es) on %d machine(s), %d threads each, %s",
        *(device, group.num_processes, job.machines, job.threads, precision),
    )
    batch = settings.batch_size * settings.accumulation
    log.info("effective batch: %d sequences of %d tokens in %d micro-batches", batch, settings.length, settings.accumulation)
    for shard, drawn in zip(data.shards, stream.drawn, strict=True):
        counts = (shard.language, shard.rows, len(shard.held_out), 100 * drawn / stream.epoch)
        log.info("%s: %d sequences, %d held out, %.2f %% of the batches", *counts)
    start = f"continuing after step {job.start}" if job.start else "from the start"
    epochs = settings.steps * batch / stream.epoch
    log.info("%d steps over %d sequences: %.2f epochs; %s", settings.steps, stream.epoch, epochs, start)
