"""Which copy of the library the jobs of a workflow run."""

from __future__ import annotations

import os
from pathlib import Path

from lexigraft.errors import ConfigError

_IMPORTED = Path(__file__).resolve().parents[1]


def use_library_of(checkout: Path) -> None:
    """Make this process's children import lexigraft from `checkout`, the one whose code digests they carry.

    A checkout without the library leaves them the one that is installed, which this process has imported as well.

    Raises:
        ConfigError: this process imported the library of another checkout, so that digests would not be those of the code that runs.
    """
    if (checkout / "lexigraft").is_dir() and checkout.resolve() != _IMPORTED:
        raise ConfigError(
            f"the workflow lies in {checkout}, but the library was imported from {_IMPORTED}",
            where=f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}",
            hint="leave PYTHONPATH alone; two checkouts of lexigraft cannot be modules of one workflow",
        )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), before]))
