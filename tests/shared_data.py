"""Real text in `../shared/data`, next to the checkout; a fresh clone does not have it."""

from __future__ import annotations

from pathlib import Path

import pytest

PLACE = Path(__file__).parents[2] / "shared" / "data"


def shared_data(inside: str) -> Path:
    """A file or folder of the shared data; skips the test if they are missing."""
    if not PLACE.is_dir():
        pytest.skip(f"the shared data do not exist: {PLACE}")
    return PLACE / inside
