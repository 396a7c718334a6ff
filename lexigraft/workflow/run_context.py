"""The copy of the library and the configuration that the jobs of a workflow use."""

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
"""Start time of the run that a job belongs to, in nanoseconds since 1970."""
_LONGEST = 100_000
"""Linux allows at most 128 KiB per variable."""

_IMPORTED = Path(__file__).resolve().parents[2]


def use_library_of(checkout: Path) -> None:
    """Make child processes import lexigraft from `checkout`, so that code digests describe the code that runs.

    Raises:
        ConfigError: the workflow is not read from a checkout, or this process imported the library of another checkout.
    """
    if not (checkout / "lexigraft").is_dir():
        raise ConfigError(
            f"the workflow is read from {checkout}, which does not contain the library",
            hint="clone lexigraft and use the clone's Snakefile: Snakemake fetches rules from a repository, not the library",
        )
    if checkout.resolve() != _IMPORTED:
        raise ConfigError(
            f"the workflow lies in {checkout}, but the library was imported from {_IMPORTED}",
            where=f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}",
            hint="unset PYTHONPATH; two checkouts of lexigraft cannot be modules of one workflow",
        )
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))


def configuration_of_run(config: Mapping[str, Any], is_head: bool, module: int = 0) -> Mapping[str, Any]:
    """The configuration that a run was started with, even in a job that was queued while the file was edited.

    Jobs on a cluster read the Snakefile and the configuration again when they start, but Snakemake records the configuration
    that the head process read. So the head process passes its configuration on in an environment variable. The order of keys
    is preserved, because pages and tables use it.

    Args:
        config: as read now.
        is_head: whether this process plans the run; otherwise it runs one of its jobs.
        module: distinguishes several modules of one workflow, each with its own configuration.
    """
    variable = f"{_CONFIGURATION}_{module}"
    if is_head:
        os.environ[RUN] = str(time.time_ns())
        packed = base64.b64encode(zlib.compress(yaml.safe_dump(_plain(config), sort_keys=False).encode())).decode()
        # if it is too large, jobs read the file as it is then
        os.environ[variable] = packed if len(packed) < _LONGEST else ""
    elif packed := os.environ.get(variable, ""):
        found: Mapping[str, Any] = yaml.safe_load(zlib.decompress(base64.b64decode(packed)))
        return found
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
