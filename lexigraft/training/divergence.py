"""Training that diverges: a loss or a gradient that is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

from lexigraft.errors import LexigraftError


class DivergedError(LexigraftError):
    """A loss or a gradient is not finite."""


def check_finite(what: str, hint: str, explain: Callable[[], tuple[str, str]] = lambda: ("", ""), **measured: float) -> None:
    """Raise DivergedError if one of the values is NaN or infinite.

    Args:
        what: training and step, for the message: `fine-tuning diverged at step 3`.
        hint: what to do about it.
        explain: called before it is raised; returns what to add to the message, and where the reader finds more.
        measured: name -> value, `_` standing for a space.
    """
    if not all(map(math.isfinite, measured.values())):
        values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in measured.items())
        more, where = explain()
        raise DivergedError(f"{what}: {values}{more}", where=where or None, hint=hint)
