"""Which copy of the library the jobs of a workflow run."""

from __future__ import annotations

import os
from pathlib import Path

from lexigraft.errors import ConfigError

_IMPORTED = Path(__file__).resolve().parents[1]


def use_library_of(checkout: Path) -> None:
    """Make this process's children import lexigraft from `checkout`, the one whose code digests they carry.

    Raises:
        ConfigError: the workflow is not read from a checkout, or this process imported the library of another one, so that
            digests would not be those of the code that runs.
    """
    if not (checkout / "lexigraft").is_dir():
        raise ConfigError(
            f"the workflow is read from {checkout}, where the library is not",
            hint="clone lexigraft and name the clone's Snakefile; Snakemake fetches rules from a repository, but no library",
        )
    if checkout.resolve() != _IMPORTED:
        raise ConfigError(
            f"the workflow lies in {checkout}, but the library was imported from {_IMPORTED}",
            where=f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}",
            hint="leave PYTHONPATH alone; two checkouts of lexigraft cannot be modules of one workflow",
        )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), before]))
