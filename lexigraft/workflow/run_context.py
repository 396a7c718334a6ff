"""Which copy of the library and which configuration the jobs of a workflow run with."""

from __future__ import annotations

import base64
import os
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lexigraft.errors import ConfigError

_CONFIGURATION = "LEXIGRAFT_CONFIGURATION"
RUN = "LEXIGRAFT_RUN"
"""When the run was started that a job belongs to, in nanoseconds since 1970."""
_LONGEST = 100_000
"""Linux takes at most 128 KiB in one variable."""

_IMPORTED = Path(__file__).resolve().parents[2]


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


def configuration_of_run(config: Mapping[str, Any], is_head: bool, place: int = 0) -> Mapping[str, Any]:
    """The configuration that a run was started with, also in a job that waited in a queue while the file was edited.

    Jobs on a cluster read the Snakefile and the configuration again when they start, but Snakemake's records say that they ran
    with what the head process had read. So the head hands its configuration on in the environment, in its order, which pages
    and tables follow.

    Args:
        config: as read now.
        is_head: whether this process plans the run; else it runs a job of one.
        place: tells apart several modules of one workflow, each with a configuration of its own.
    """
    variable = f"{_CONFIGURATION}_{place}"
    if is_head:
        os.environ[RUN] = str(time.time_ns())
        packed = base64.b64encode(zlib.compress(yaml.safe_dump(_plain(config), sort_keys=False).encode())).decode()
        # without it jobs read the file, as they would anyway
        os.environ[variable] = packed if len(packed) < _LONGEST else ""
    elif packed := os.environ.get(variable, ""):
        found: Mapping[str, Any] = yaml.safe_load(zlib.decompress(base64.b64decode(packed)))
        return found
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
