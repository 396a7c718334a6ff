"""Real text that lies beside a checkout of those who have it, in `../shared/data`; a clone alone has none."""

from __future__ import annotations

from pathlib import Path

import pytest

PLACE = Path(__file__).parents[2] / "shared" / "data"


def shared_data(inside: str) -> Path:
    """A file or folder of the shared data; skips the test where they are not."""
    if not PLACE.is_dir():
        pytest.skip(f"the shared data are not beside this checkout: {PLACE}")
    return PLACE / inside
