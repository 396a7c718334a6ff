"""Resumable state of a pre-training run: one sealed safetensors file a checkpoint.

A file holds model, optimizer and history. Its metadata holds the step, from which the schedule follows, the position in the
stream of sequences with the number drawn of each language, the seed from which every random draw of a step follows, and a
fingerprint of the run. One file is written and renamed as a whole, and its seal tells a truncated or altered one, which is
skipped for the one before. Checkpoints at the named steps, from which the artifacts are made in the end, are kept, of the
others the last two.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, check, read_provenance, read_tensors, write_tensors
from lexigraft.artifacts.atomic import refusal_behind
from lexigraft.errors import ArtifactError, ConfigError, LexigraftError

log = logging.getLogger(__name__)

STAGE = "pretraining_checkpoint"
_KEPT = 2
_PATTERN = "checkpoint-*.safetensors"
_LEFT_OVER = (".checkpoint-*.part", ".*.parquet.*.part", "stop")
_TABLES = ("history.parquet", "speed.parquet", "held_out.parquet")


def checkpoint_path(folder: Path, step: int) -> Path:
    """File of the checkpoint after `step`."""
    return folder / f"checkpoint-{step:08d}.safetensors"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        position: sequences drawn from the stream.
        drawn: language -> how many of these it gave.
        seed: of the run.
    """

    step: int
    position: int
    drawn: Mapping[str, int]
    seed: int


def save_checkpoint(
    folder: Path, place: Place, tensors: Mapping[str, NDArray[Any]], fingerprint: Mapping[str, str], named: Collection[int]
) -> None:
    """Write the state of a run, then remove the checkpoints that are no longer needed.

    Raises:
        LexigraftError: the disk is full or cannot be written; the checkpoints before this one stay.
    """
    told = {"step": place.step, "position": place.position, "drawn": dict(place.drawn), "fingerprint": dict(fingerprint)}
    try:
        write_tensors(checkpoint_path(folder, place.step), tensors, Provenance(STAGE, parameters=told, seed=place.seed))
    except (OSError, ArtifactError) as error:
        if (refusal := refusal_behind(error)) is None:
            raise
        size = sum(array.nbytes for array in tensors.values()) / 1e9
        kept = [step for step in _steps(folder) if step < place.step]
        raise LexigraftError(
            f"the checkpoint of step {place.step} ({size:.2f} GB) could not be written: {refusal.strerror or refusal}",
            where=folder,
            hint=(f"the checkpoint of step {kept[-1]} is whole: " if kept else "")
            + "make room on the disk and run again, which goes on from the last one",
        ) from error
    # later ones are those that `newest_checkpoint` skipped
    steps = [step for step in _steps(folder) if step <= place.step]
    for old in steps[:-_KEPT]:
        if old not in named:
            checkpoint_path(folder, old).unlink(missing_ok=True)


def newest_checkpoint(folder: Path, fingerprint: Mapping[str, str], named: Collection[int]) -> int:
    """Step of the newest checkpoint to go on from, 0 if there is none.

    A damaged checkpoint is skipped, and so is one that comes after a named step whose own checkpoint is lost: the named model
    could not be written in the end.

    Raises:
        ConfigError: the checkpoints are of a run with another model, other data or other settings.
    """
    usable: list[int] = []
    for step in _steps(folder):
        try:
            found = check(checkpoint_path(folder, step), STAGE)["parameters"]["fingerprint"]
        except ArtifactError as error:
            log.warning("checkpoint of step %d is skipped: %s", step, error.problem)
            continue
        differing = sorted(key for key in {*found, *fingerprint} if found.get(key) != fingerprint.get(key))
        if differing:
            raise ConfigError(
                f"the checkpoints are of a run that differs in: {', '.join(differing)}",
                where=folder,
                hint=f"to start anew, delete the folder {folder}; to go on, undo the change",
            )
        usable.append(step)
    for step in reversed(usable):
        lost = [earlier for earlier in named if earlier < step and earlier not in usable]
        if not lost:
            return step
        log.warning("checkpoint of step %d is skipped: that of step %d, whose model is wanted, is lost", step, lost[0])
    return 0


def read_place(folder: Path, step: int) -> Place:
    """Where the run stood at the checkpoint after `step`, which `newest_checkpoint` has checked."""
    told = read_provenance(checkpoint_path(folder, step))
    parameters = told["parameters"]
    return Place(parameters["step"], parameters["position"], parameters["drawn"], told["seed"])


def read_checkpoint(folder: Path, step: int) -> dict[str, NDArray[Any]]:
    """Tensors of the checkpoint after `step`.

    Raises:
        ArtifactError: it is damaged.
    """
    return read_tensors(checkpoint_path(folder, step), STAGE)


def sweep(folder: Path, patterns: Iterable[str] = _LEFT_OVER) -> None:
    """Remove what a killed run was writing, and what it was asked."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove all state of a run, and the folder if nothing else is in it."""
    sweep(folder, [_PATTERN, *_TABLES, *_LEFT_OVER])
    with suppress(OSError):
        folder.rmdir()


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("checkpoint-")) for path in folder.glob(_PATTERN))
