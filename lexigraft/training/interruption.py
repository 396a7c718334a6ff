"""Requests to stop: SIGTERM and SIGUSR1 (a cluster's warning before the time limit) end training after a checkpoint."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: try again later. The workflow does, where its profile says `retries`."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupted(SystemExit):
    """Training stopped on request after a checkpoint; the same call continues from it."""

    def __init__(self, step: int, folder: Path, unit: str = "step") -> None:
        super().__init__(EXIT_CODE)
        self.step = step
        log.warning("stopped on request: the checkpoint of %s %d is in %s; run again to continue", unit, step, folder)


class Interruption:
    """Whether this process is to stop: it received a signal, or another process has left `file`."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.signaled = False

    @property
    def requested(self) -> bool:
        """Whether to stop after this step."""
        return self.signaled or (self.file is not None and self.file.exists())

    @contextmanager
    def watched(self) -> Iterator[Interruption]:
        """Note the signals instead of ending by them; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signaled = True
        log.warning("received %s: training stops after the next checkpoint", signal.Signals(number).name)
