"""Which copy of the library the jobs of a workflow run."""

from __future__ import annotations

import os
from pathlib import Path


def use_library_of(checkout: Path) -> None:
    """Make this process's children import lexigraft from `checkout`, the one whose code digests they carry."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), before]))
