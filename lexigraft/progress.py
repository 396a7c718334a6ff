"""Progress of long loops: a progress bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 15.0


def progress(items: Iterable[T], total: int, what: str, unit: str = "it") -> Iterator[T]:
    """Yield `items` and show the progress out of `total`: a tqdm bar on a terminal, else a log line every 15 seconds."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=unit)
        return
    log = logging.getLogger("lexigraft.progress")
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES or (done == total and now - start >= _SECONDS_BETWEEN_LINES):
            remaining = (now - start) / done * max(total - done, 0)
            log.info("%s: %d of %d %s, %.0f s, %.0f s remaining", what, done, total, unit, now - start, remaining)
            last = now
