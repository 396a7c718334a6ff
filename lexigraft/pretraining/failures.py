"""What can go wrong in training, told so that it can be acted on."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from lexigraft.artifacts import Provenance, write_tensors
from lexigraft.artifacts.atomic import refusal_behind
from lexigraft.errors import ArtifactError, LexigraftError
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.objectives import Batch
from lexigraft.pretraining.settings import PretrainingSettings

log = logging.getLogger(__name__)

STAGE = "pretraining_diverged"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def diverged(
    job: Job, rank: int, step: int, loss: float, gradient_norm: float, own: Mapping[int, tuple[Batch, Tensor]]
) -> LexigraftError:
    """Save the batch of a step whose loss or gradient is not finite, and return the error that names it.

    Args:
        job: of the run.
        rank: of this process; each saves its own micro-batches.
        step: that failed.
        loss: mean loss of the whole step.
        gradient_norm: of the whole step.
        own: number of each micro-batch of this process -> batch and its share of the loss.
    """
    path = job.folder / f"diverged-step-{step:08d}-process-{rank}.safetensors"
    tensors = {"losses": np.array([float(value) for _, value in own.values()], np.float64)}
    for number, (batch, _) in own.items():
        for name in ("input_ids", "positions", "labels"):
            tensors[f"micro_batch_{number}/{name}"] = getattr(batch, name)
    bad = [number for number, (_, value) in own.items() if not torch.isfinite(value)]
    told = {"step": step, "micro_batches": list(own), "not_finite": bad}
    try:
        write_tensors(path, tensors, Provenance(STAGE, parameters=told, seed=job.seed))
        saved = f"its batch is saved in {path}"
    except (OSError, ArtifactError) as error:
        refusal = refusal_behind(error)
        saved = f"its batch could not be saved ({refusal.strerror if refusal else error})"
    named = f", first in micro-batch {bad[0]}" if bad else ""
    return LexigraftError(
        f"pre-training diverged at step {step}: loss {loss}, gradient norm {gradient_norm}{named}",
        where=f"{saved}; checkpoints before it are kept in {job.folder}",
        hint="lower `learning_rates` or raise `warmup_steps`, and delete that folder to start anew; "
        "if it happens at the first step, the initialized model or its data are broken",
    )


@contextmanager
def disk_full(job: Job) -> Iterator[None]:
    """Turn errors of writing the results into one that says that training need not be repeated."""
    try:
        yield
    except (OSError, ArtifactError) as error:
        refusal = refusal_behind(error)
        if refusal is None or refusal.errno not in _FULL:
            raise
        raise LexigraftError(
            f"training is done, but the models could not be written: {refusal.strerror or refusal}",
            where=refusal.filename or job.folder.parent,
            hint=f"make room on the disk and run again: the checkpoints in {job.folder} hold the models, no step is repeated",
        ) from error


@contextmanager
def out_of_memory(settings: PretrainingSettings) -> Iterator[None]:
    """Turn torch's errors about memory into one that says which settings need so much."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in text:
            raise
        size, times = settings.batch_size, settings.accumulation
        raise LexigraftError(
            f"memory is too small for {size} sequences of {settings.length} tokens: {text.splitlines()[0][:200]}",
            where="batch_size",
            hint=f"halve `batch_size` and double `accumulation` ({max(size // 2, 1)} and {times * 2} are the same effective "
            "batch), or set `activation_checkpointing: true`",
        ) from error
