"""The training loop: masked language modelling with gradient accumulation, resumable at every checkpoint.

Order, masking and dropout of a micro-batch follow from (seed, step, number of the micro-batch in the step), whichever process
computes it. So a resumed run needs no state of random generators, and the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.modeling_utils import PreTrainedModel

from lexigraft.errors import LexigraftError
from lexigraft.modeling.heads import masked_logits
from lexigraft.modeling.load import load_model
from lexigraft.pretraining.checkpoints import read_checkpoint, save_checkpoint
from lexigraft.pretraining.group import Group
from lexigraft.pretraining.history import History
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.masking import MaskedBatch, MaskingRule, mask_tokens, masking_rule
from lexigraft.pretraining.optimizer import adamw, schedule
from lexigraft.pretraining.sequences import open_sequences, rows_at
from lexigraft.progress import progress
from lexigraft.tokenizers.vocabulary import read_vocabulary

log = logging.getLogger(__name__)

_ORDER, _MASKING, _DROPOUT = range(3)  # what a seed is for, mixed into it
_LINES_IN_LOG = 25


def train(job: Job, group: Group) -> None:
    """Train up to the last step; the result is the checkpoints of the named steps in `job.folder`.

    Args:
        job: the run; its sequences are unpacked.
        group: this process among all of the run. Only rank 0 writes.

    Raises:
        LexigraftError: the loss or the gradient is no longer finite.
    """
    torch.set_num_threads(job.threads)
    with torch.random.fork_rng(devices=[group.device] if group.device.type == "cuda" else []):
        _train(job, group)


def _train(job: Job, group: Group) -> None:
    settings = job.settings
    sequences = open_sequences(job.data_path, job.folder)
    rule = masking_rule(read_vocabulary(job.vocabulary_path), job.vocabulary_path)

    model = load_model(job.model_folder)
    nn.Module.to(model, group.device).train()
    if settings.dropout is not None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = settings.dropout
    optimizer = adamw(model, settings)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    precision = _precision(settings.precision, group.device)

    history = _restored(job, model, optimizer) if job.start else History()
    _announce(job, group, len(sequences), precision)

    tokens_a_step = settings.batch_size * settings.accumulation * settings.length
    lines_every = max(1, settings.steps // _LINES_IN_LOG)
    last_time, last_step = time.monotonic(), job.start
    steps = range(job.start + 1, settings.steps + 1)
    for step in progress(steps, len(steps), "pre-training", "steps") if group.rank == 0 else steps:
        factor = schedule(step, settings.steps, settings.warmup_steps)
        for parameter_group in optimizer.param_groups:
            parameter_group["lr"] = parameter_group["peak"] * factor

        # this process's share of the step's micro-batches; the loss is the mean over the masked tokens of all of them
        numbers = range(group.rank, settings.accumulation, group.size)
        batches = [masked_batch(job, sequences, rule, step, number) for number in numbers]
        masked = group.sum(torch.tensor(sum(len(batch.labels) for batch in batches), device=group.device)).clamp(min=1)
        total = torch.zeros((), device=group.device)
        for number, batch in zip(numbers, batches, strict=True):
            torch.manual_seed(_derived_seed(job.seed, _DROPOUT, step, number))
            input_ids, positions, labels = (
                torch.from_numpy(array).to(group.device) for array in (batch.input_ids, batch.positions, batch.labels)
            )
            with _autocast(precision, group.device):
                logits = masked_logits(model, input_ids, None, positions)
                loss: Tensor = cross_entropy(logits.float(), labels, reduction="sum") / masked
            torch.autograd.backward(loss)
            total += loss.detach()
        group.sum(total)
        group.sum_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, settings.clip_norm)

        mean_loss, gradient_norm = torch.stack([total, norm]).tolist()
        if not (math.isfinite(mean_loss) and math.isfinite(gradient_norm)):
            raise _diverged(job, step, mean_loss, gradient_norm)
        optimizer.step()
        optimizer.zero_grad()

        learning_rate = settings.learning_rates.encoder * factor
        history.add(
            step=step, tokens=step * tokens_a_step, loss=mean_loss, learning_rate=learning_rate, gradient_norm=gradient_norm
        )
        if group.rank == 0 and (step % settings.save_every == 0 or step in settings.checkpoints):
            _save(job, step, model, optimizer, history)
        if step % lines_every == 0 or step == settings.steps:
            now = time.monotonic()
            speed = (step - last_step) * tokens_a_step / max(now - last_time, 1e-9)
            log.info("step %d: loss %.3f, gradient norm %.3f, %.0f tokens/s", step, mean_loss, gradient_norm, speed)
            last_time, last_step = now, step


def masked_batch(job: Job, sequences: NDArray[np.int32], rule: MaskingRule, step: int, number: int) -> MaskedBatch:
    """Micro-batch `number` (from 0) of `step` (from 1), masked."""
    settings = job.settings
    first = ((step - 1) * settings.accumulation + number) * settings.batch_size
    rows = rows_at(first, settings.batch_size, len(sequences), _derived_seed(job.seed, _ORDER))
    rng = np.random.default_rng([job.seed, _MASKING, step, number])
    return mask_tokens(sequences[rows], rule, settings.mask_probability, rng)


def restore_model(model: PreTrainedModel, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Set all parameters to those of a checkpoint."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(tensors[f"model/{name}"]))


def _save(job: Job, step: int, model: PreTrainedModel, optimizer: torch.optim.Optimizer, history: History) -> None:
    tensors = history.tensors()
    for name, parameter in model.named_parameters():
        tensors[f"model/{name}"] = parameter.detach().cpu().numpy()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
    save_checkpoint(job.folder, step, tensors, job.fingerprint, job.settings.checkpoints)


def _restored(job: Job, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> History:
    """Set model and optimizer to the checkpoint that the job starts from and return its history."""
    tensors = read_checkpoint(job.folder, job.start)
    restore_model(model, tensors)
    parameters = dict(model.named_parameters())
    for full_name, array in tensors.items():
        if full_name.startswith("optimizer/"):
            _, key, name = full_name.split("/")
            optimizer.state[parameters[name]][key] = torch.from_numpy(array).to(parameters[name].device)
    return History.restored(tensors)


def _derived_seed(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def _precision(wanted: str, device: torch.device) -> str:
    if wanted != "auto":
        return wanted
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_it else "float32"


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()


def _announce(job: Job, group: Group, sequences: int, precision: str) -> None:
    settings = job.settings
    device = torch.cuda.get_device_name(group.device) if group.device.type == "cuda" else "CPU"
    log.info("device: %s, %d process(es), threads of each: %d, %s", device, group.size, job.threads, precision)
    batch = settings.batch_size * settings.accumulation
    log.info("effective batch: %d sequences of %d tokens in %d micro-batches", batch, settings.length, settings.accumulation)
    log.info(
        "%d steps over %d sequences: %.2f epochs; %s",
        settings.steps,
        sequences,
        settings.steps * batch / sequences,
        f"going on after step {job.start}" if job.start else "from the start",
    )


def _diverged(job: Job, step: int, loss: float, gradient_norm: float) -> LexigraftError:
    return LexigraftError(
        f"pre-training diverged at step {step}: loss {loss}, gradient norm {gradient_norm}",
        where=f"checkpoints before it are kept in {job.folder}",
        hint="lower `learning_rates` or raise `warmup_steps`, and delete that folder to start anew; "
        "if it happens at the first step, the initialised model or its data are broken",
    )
