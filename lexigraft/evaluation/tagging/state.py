"""Resumable state of fine-tuning: one sealed file a checkpoint, and one with the best model so far."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, check, read_provenance, read_tensors, write_tensors
from lexigraft.errors import ArtifactError

log = logging.getLogger(__name__)

STAGE = "tagger_state"
Tensors = Mapping[str, NDArray[Any]]
_KEPT = 2


class State:
    """Checkpoints of a fine-tuning run in a folder of their own.

    A checkpoint names the step of the best model so far, whose weights are in a file beside it; the last two checkpoints are
    kept and the best models that they name.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str]) -> None:
        self.folder, self.fingerprint = folder, dict(fingerprint)

    def save(self, step: int, best_step: int, tensors: Tensors, best: Tensors | None) -> None:
        """Write the state after `step`; `best` is given when the best model is that of this step."""
        if best is not None:
            write_tensors(self._best(step), best, self._provenance(step, step))
        write_tensors(self._checkpoint(step), tensors, self._provenance(step, best_step))
        steps = self._steps()
        for old in steps[:-_KEPT]:
            self._checkpoint(old).unlink(missing_ok=True)
        needed = {self._best_step_of(kept) for kept in steps[-_KEPT:]}
        for path in self.folder.glob("best-*.safetensors"):
            if int(path.stem.removeprefix("best-")) not in needed:
                path.unlink(missing_ok=True)

    def newest(self) -> tuple[int, int, dict[str, NDArray[Any]]] | None:
        """Step, best step and tensors of the newest checkpoint to go on from; None where there is none.

        A damaged checkpoint is skipped for the one before it. Checkpoints of a run with another model, other sentences or
        other settings are of no use to anyone and are removed.
        """
        for step in reversed(self._steps()):
            try:
                parameters = check(self._checkpoint(step), STAGE)["parameters"]
                found = parameters["fingerprint"]
                if differing := sorted(
                    key for key in {*found, *self.fingerprint} if found.get(key) != self.fingerprint.get(key)
                ):
                    told = ", ".join(differing)
                    log.warning("starting anew: the state in %s is of a run that differs in %s", self.folder, told)
                    self.clear()
                    return None
                best_step = int(parameters["best_step"])
                check(self._best(best_step), STAGE)
                return step, best_step, read_tensors(self._checkpoint(step), STAGE)
            except ArtifactError as error:
                log.warning("the state after step %d is skipped: %s", step, error.problem)
        return None

    def best(self, step: int) -> dict[str, NDArray[Any]]:
        """Weights of the best model, that of `step`."""
        return read_tensors(self._best(step), STAGE)

    def clear(self) -> None:
        """Remove all of it, and the folder if nothing else is in it."""
        for pattern in ("state-*.safetensors", "best-*.safetensors", ".state-*.part", ".best-*.part"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _best_step_of(self, step: int) -> int:
        with suppress(ArtifactError):
            return int(read_provenance(self._checkpoint(step))["parameters"]["best_step"])
        return -1

    def _provenance(self, step: int, best_step: int) -> Provenance:
        return Provenance(STAGE, parameters={"step": step, "best_step": best_step, "fingerprint": self.fingerprint})

    def _checkpoint(self, step: int) -> Path:
        return self.folder / f"state-{step:08d}.safetensors"

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"

    def _steps(self) -> list[int]:
        return sorted(int(path.stem.removeprefix("state-")) for path in self.folder.glob("state-*.safetensors"))
