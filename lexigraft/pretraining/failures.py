"""Failures of training, as errors that say what to do: a loss that is not finite, a full disk, too little memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from lexigraft.artifacts import Provenance, write_tensors
from lexigraft.artifacts.atomic import refusal_behind
from lexigraft.errors import ArtifactError, LexigraftError
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.objectives.base import Batch
from lexigraft.pretraining.settings import PretrainingSettings

STAGE = "pretraining_diverged"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def save_batches(job: Job, rank: int, step: int, own: Mapping[int, tuple[Batch, Tensor]]) -> tuple[str, str]:
    """Save the batches of a step whose loss or gradient is not finite; the result is for `explain` of `check_finite`.

    `own` has the micro-batches of this process by their numbers, each with its share of the loss.
    """
    path = job.folder / f"diverged-step-{step:08d}-process-{rank}.safetensors"
    tensors = {"losses": np.array([float(loss) for _, loss in own.values()], np.float64)}
    for number, (batch, _) in own.items():
        tensors |= {f"micro_batch_{number}/{field.name}": getattr(batch, field.name) for field in fields(batch)}
    bad = [number for number, (_, loss) in own.items() if not torch.isfinite(loss)]
    metadata = {"step": step, "micro_batches": list(own), "not_finite": bad}
    try:
        write_tensors(path, tensors, Provenance(STAGE, seed=job.seed), metadata)
        saved = f"its batch is saved in {path}"
    except (OSError, ArtifactError) as error:
        refusal = refusal_behind(error)
        saved = f"its batch could not be saved ({refusal.strerror if refusal else error})"
    first = f", first in micro-batch {bad[0]}" if bad else ""
    return first, f"{saved}; the checkpoints before it are in {job.folder}"


@contextmanager
def disk_full(job: Job) -> Iterator[None]:
    """Turn errors of writing the results into one that says that no step need be repeated."""
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
