"""Training that diverges: a loss or a gradient that is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

from lexigraft.errors import LexigraftError


class DivergedError(LexigraftError):
    """A loss or a gradient is not finite."""


def check_finite(what: str, hint: str, explain: Callable[[], tuple[str, str]] = lambda: ("", ""), **measured: float) -> None:
    """Raise DivergedError if one of the values is NaN or infinite.

    The message begins with `what` (`fine-tuning diverged at step 3`) and names the values; `explain`, called first, returns the
    end of the message, and where the reader finds more.
    """
    if not all(map(math.isfinite, measured.values())):
        values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in measured.items())
        more, where = explain()
        raise DivergedError(f"{what}: {values}{more}", where=where or None, hint=hint)
