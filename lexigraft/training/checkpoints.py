"""Resumable state of a training run: one sealed safetensors file per checkpoint.

A checkpoint is written whole or not at all, and its seal reveals damage: a damaged one is skipped for the one before. Its
metadata holds the fingerprint of the run, its position in the data, and the earlier checkpoints that it needs. The last two
stay, with those that they need.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from lexigraft.artifacts import Provenance, check, identity, read_metadata, read_tensors, write_tensors
from lexigraft.artifacts.atomic import refusal_behind
from lexigraft.errors import ArtifactError, ConfigError, LexigraftError
from lexigraft.settings import Settings

log = logging.getLogger(__name__)

Tensors = Mapping[str, NDArray[Any]]
STAGE = "checkpoint"
_LAST = 2


def fingerprint(
    settings: Settings, excluded: Iterable[str], files: Mapping[str, Path], seed: int, provenance: Provenance, **more: object
) -> dict[str, str]:
    """Everything that decides what a run computes, by name: a checkpoint of a run with another one is refused.

    Settings in `excluded` change nothing in the result, or change it through one of the `files` only.
    """
    return {
        **{f"setting {name}": str(value) for name, value in settings.model_dump(mode="json", exclude=set(excluded)).items()},
        **{name: identity(path) for name, path in files.items()},
        **{name.replace("_", " "): str(value) for name, value in more.items()},
        "seed": str(seed),
        "code": provenance.code,
        "pinned versions": provenance.lock,
    }


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are; made when the first one is written.
        fingerprint: see `fingerprint`.
        minutes: between two of them, for `due`; None for no such limit.
        unit: what a run counts: steps or epochs.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str], minutes: float | None = None, unit: str = "step") -> None:
        self.folder, self.fingerprint, self.minutes, self.unit = folder, dict(fingerprint), minutes, unit
        self._written = time.monotonic()

    def path(self, step: int) -> Path:
        """File of the checkpoint after `step`."""
        return self.folder / f"checkpoint-{step:08d}.safetensors"

    def steps(self) -> list[int]:
        """Steps whose checkpoints are there, ascending."""
        return sorted(int(path.stem.removeprefix("checkpoint-")) for path in self.folder.glob("checkpoint-*.safetensors"))

    @property
    def due(self) -> bool:
        """Whether the time between two checkpoints is over."""
        return self.minutes is not None and time.monotonic() - self._written >= 60 * self.minutes

    def save(self, step: int, tensors: Tensors, needs: Sequence[int] = (), **position: Any) -> None:
        """Write the state after `step`, then remove the checkpoints that are no longer needed.

        Args:
            step: from 1.
            tensors: parameters, optimizer, history.
            needs: earlier steps without whose checkpoints this one is of no use.
            position: where the run is in its data, and the like: JSON values.

        Raises:
            LexigraftError: the disk is full or cannot be written; the checkpoints before this one stay.
        """
        metadata = {**position, "step": step, "needs": list(needs), "fingerprint": self.fingerprint}
        # later ones are damaged: `newest` has skipped them
        before = [earlier for earlier in self.steps() if earlier < step]
        try:
            write_tensors(self.path(step), tensors, Provenance(STAGE), metadata)
        except (OSError, ArtifactError) as error:
            if (refusal := refusal_behind(error)) is None:
                raise
            size = sum(array.nbytes for array in tensors.values()) / 1e9
            raise LexigraftError(
                f"the checkpoint of {self.unit} {step} ({size:.2f} GB) could not be written: {refusal.strerror or refusal}",
                where=self.folder,
                hint=(f"the checkpoint of {self.unit} {before[-1]} is whole: " if before else "")
                + "make room on the disk and run again, which continues from the last one",
            ) from error
        last = [*before, step][-_LAST:]
        needed = {*last, *(earlier for one in last for earlier in self._needs(one))}
        for old in set(before) - needed:
            self.path(old).unlink(missing_ok=True)
        self._written = time.monotonic()

    def newest(self) -> int:
        """Step of the newest checkpoint to continue from, 0 if there is none.

        A damaged checkpoint is skipped, and so is one that needs a damaged or lost one.

        Raises:
            ConfigError: the checkpoints are of a run with another model, other data or other settings.
        """
        for step in reversed(self.steps()):
            needed = step
            try:
                check(self.path(step), STAGE)
                self._check_is_of_this_run(step)
                for needed in self._needs(step):
                    check(self.path(needed), STAGE)
                return step
            except ArtifactError as error:
                reason = (
                    error.problem if needed == step else f"that of {self.unit} {needed}, which it needs, is lost or damaged"
                )
                log.warning("checkpoint of %s %d is skipped: %s", self.unit, step, reason)
        return 0

    def read(self, step: int, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Tensors of the checkpoint after `step`, all or those named.

        Raises:
            ArtifactError: it is damaged.
        """
        return read_tensors(self.path(step), STAGE, names)

    def metadata(self, step: int) -> dict[str, Any]:
        """Where the run was after `step`: `position` of `save`, and `step`, `needs` and `fingerprint`."""
        return read_metadata(self.path(step))

    def remove_unfinished(self) -> None:
        """Remove what a killed process was writing."""
        for path in self.folder.glob(".checkpoint-*.part"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all checkpoints, and the folder if nothing else is in it."""
        self.remove_unfinished()
        for step in self.steps():
            self.path(step).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _needs(self, step: int) -> list[int]:
        with suppress(ArtifactError):
            return [int(earlier) for earlier in self.metadata(step)["needs"]]
        return []

    def _check_is_of_this_run(self, step: int) -> None:
        found = self.metadata(step)["fingerprint"]
        if differing := sorted(k for k in {*found, *self.fingerprint} if found.get(k) != self.fingerprint.get(k)):
            raise ConfigError(
                f"the checkpoints are of a run that differs in: {', '.join(differing)}",
                where=self.folder,
                hint=f"to start again from the beginning, delete the folder {self.folder}; to continue, undo the change",
            )


def parameters_of(model: nn.Module, prefix: str = "") -> dict[str, NDArray[Any]]:
    """All parameters by name, behind `prefix`, on the CPU."""
    return {f"{prefix}{name}": parameter.detach().cpu().numpy() for name, parameter in model.named_parameters()}


def set_parameters(model: nn.Module, tensors: Tensors, prefix: str = "") -> None:
    """Set all parameters to those of `parameters_of`; other tensors are ignored."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(tensors[f"{prefix}{name}"]))


def model_names(model: nn.Module) -> list[str]:
    """Names of a model's parameters among the tensors of a checkpoint."""
    return [f"model/{name}" for name, _ in model.named_parameters()]


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """All parameters as `model/NAME`, and what the optimizer holds of each as `optimizer/KEY/NAME`."""
    tensors = parameters_of(model, "model/")
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
    return tensors


def restore_state(tensors: Tensors, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Set parameters and optimizer state to what `state_tensors` returned; other tensors are ignored."""
    set_parameters(model, tensors, "model/")
    parameters = dict(model.named_parameters())
    for full_name, array in tensors.items():
        if full_name.startswith("optimizer/"):
            _, key, name = full_name.split("/", 2)
            value, device = torch.from_numpy(array), parameters[name].device
            if key == "step":  # a scalar, on the CPU unless one kernel updates all parameters
                value, device = value.reshape(()), device if optimizer.defaults.get("fused") else torch.device("cpu")
            optimizer.state[parameters[name]][key] = value.to(device)
