"""Progress of training: a bar on a terminal or lines in a log, rows of speed, TensorBoard files."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lexigraft.errors import MissingPackageError
from lexigraft.pretraining.job import Job
from lexigraft.training.history import History

log = logging.getLogger(__name__)

_LINES = 25
_SECONDS_BETWEEN_LINES = 15.0
_STEPS_OF_SPEED = 20


def summary_writer(folder: Path, step: int) -> Any:
    """A writer of TensorBoard files that continues after `step`.

    Raises:
        MissingPackageError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError(
            f"TensorBoard files need the package 'tensorboard' ({error})",
            where="tensorboard",
            hint="pip install tensorboard, or set `tensorboard: false`",
        ) from error
    make: Any = SummaryWriter
    return make(str(folder), purge_step=step + 1)


class ProgressLog:
    """Shows each step of a job, in its first process; `history` gets a row of speed for each."""

    def __init__(self, job: Job, history: History) -> None:
        self.history, self.steps, self.tokens_per_step = history, job.settings.steps, job.tokens_per_step
        self.writer = summary_writer(job.tensorboard_folder, job.start) if job.settings.tensorboard else None
        self.lines_every = max(1, self.steps // _LINES)
        self.durations: deque[float] = deque(maxlen=_STEPS_OF_SPEED)
        self.last = self.last_line = time.monotonic()
        terminal = sys.stderr.isatty()
        self.bar = tqdm(initial=job.start, total=self.steps, desc="pre-training", unit="steps") if terminal else None

    def step(self, step: int, loss: float, rates: dict[str, float], gradient_norm: float) -> None:
        """Show a step that has just ended."""
        now = time.monotonic()
        self.durations.append(now - self.last)
        speed = self.tokens_per_step * len(self.durations) / max(sum(self.durations), 1e-9)
        remaining = (self.steps - step) * sum(self.durations) / len(self.durations)
        self.history.add("speed", step=step, seconds=now - self.last, tokens_per_second=speed, seconds_left=remaining)
        self.last = now
        shown = max(rates.values())
        if self.writer is not None:
            values = {"loss": loss, "gradient_norm": gradient_norm, "tokens_per_second": speed}
            values |= {f"learning_rate/{group}": rate for group, rate in rates.items()}
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.3f}, lr {shown:.1e}, norm {gradient_norm:.2f}, {speed:,.0f} tokens/s")
            self.bar.update()
        elif step % self.lines_every == 0 or step == self.steps or now - self.last_line > _SECONDS_BETWEEN_LINES:
            log.info(
                "step %d of %d: loss %.3f, learning rate %.2g, gradient norm %.3f, %.0f tokens/s, %s left",
                *(step, self.steps, loss, shown, gradient_norm, speed, duration(remaining)),
            )
            self.last_line = now

    def held_out(self, step: int, losses: dict[str, float]) -> None:
        """Show held-out losses by language; the time that they took counts for no step."""
        if losses:
            shown = ", ".join(f"{language} {loss:.3f}" for language, loss in losses.items())
            mean = sum(losses.values()) / len(losses)
            log.info("held-out loss after step %d: mean of languages %.3f (%s)", step, mean, shown)
        if self.writer is not None:
            for language, loss in losses.items():
                self.writer.add_scalar(f"held_out/{language}", loss, step)
        self.last = time.monotonic()

    def close(self) -> None:
        """End the bar and the files."""
        if self.bar is not None:
            self.bar.close()
        if self.writer is not None:
            self.writer.close()


def duration(seconds: float) -> str:
    """Seconds in words of a log: `45 s`, `12 min`, `3 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
