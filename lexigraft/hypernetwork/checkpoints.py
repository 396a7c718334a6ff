"""Resumable state of a hypernetwork's training: one sealed safetensors file a checkpoint.

The epoch and a fingerprint of the run stand in its metadata. A file is written and renamed as a whole, and its seal tells a
damaged one, which is skipped for the one before. The last two are kept. The word vectors are in none of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, check, read_tensors, write_tensors
from lexigraft.errors import ArtifactError, ConfigError

log = logging.getLogger(__name__)

STAGE = "hypernetwork_checkpoint"
_KEPT = 2
_PATTERN = "checkpoint-*.safetensors"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made when the first one is written.
        fingerprint: everything that decides what the run computes.
        minutes: between two of them; 0 writes one whenever asked to.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str], minutes: float) -> None:
        self.folder, self.fingerprint, self.minutes = folder, dict(fingerprint), minutes
        self._written = time.monotonic()

    def offer(self, epoch: int, tensors: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
        """Write the state after `epoch` if it is time to, and remove the checkpoints that are no longer needed."""
        if time.monotonic() - self._written < 60 * self.minutes:
            return
        provenance = Provenance(STAGE, parameters={"epoch": epoch, "fingerprint": self.fingerprint})
        write_tensors(self._path(epoch), tensors(), provenance)
        for old in self._epochs()[:-_KEPT]:
            self._path(old).unlink(missing_ok=True)
        self._written = time.monotonic()

    def newest(self) -> tuple[int, dict[str, NDArray[Any]]] | None:
        """Epoch and state of the newest checkpoint that is not damaged, None if there is none.

        Raises:
            ConfigError: the checkpoints are of a run with other data or other settings.
        """
        for epoch in reversed(self._epochs()):
            path = self._path(epoch)
            try:
                found = check(path, STAGE)["parameters"]["fingerprint"]
                self._same_run(found)
                return epoch, read_tensors(path, STAGE)
            except ArtifactError as error:
                log.warning("checkpoint of epoch %d is skipped: %s", epoch, error.problem)
        return None

    def clear(self) -> None:
        """Remove all state of the run, and the folder if nothing else is in it."""
        for pattern in (_PATTERN, ".checkpoint-*.part"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _same_run(self, found: Mapping[str, str]) -> None:
        keys = sorted({*found, *self.fingerprint})
        differing = [key for key in keys if found.get(key) != self.fingerprint.get(key)]
        if differing:
            raise ConfigError(
                f"the checkpoints are of a run that differs in: {', '.join(differing)}",
                where=self.folder,
                hint=f"to start anew, delete the folder {self.folder}; to go on, undo the change",
            )

    def _path(self, epoch: int) -> Path:
        return self.folder / f"checkpoint-{epoch:06d}.safetensors"

    def _epochs(self) -> list[int]:
        return sorted(int(path.stem.removeprefix("checkpoint-")) for path in self.folder.glob(_PATTERN))
