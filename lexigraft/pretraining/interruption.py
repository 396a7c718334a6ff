"""Being told to stop: SIGTERM and SIGUSR1 (a cluster's warning before the time limit) end training after a checkpoint."""

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
    """Training was told to stop; a checkpoint is written and the same call goes on from it."""

    def __init__(self, step: int, folder: Path) -> None:
        super().__init__(EXIT_CODE)
        self.step = step
        log.warning("told to stop: the checkpoint of step %d is in %s; run again to go on", step, folder)


class Interruption:
    """Whether this process was told to stop, by a signal or by a file that another process leaves."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.signalled = False

    @property
    def asked(self) -> bool:
        """Whether to stop after this step."""
        return self.signalled or self.file.exists()

    @contextmanager
    def watched(self) -> Iterator[Interruption]:
        """Take the signals instead of dying of them; only the main thread can."""
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
        self.signalled = True
        log.warning("received %s: a checkpoint is written after this step", signal.Signals(number).name)
