"""Settings of all tests: one thread, no network, and the places of things that a clone may lack."""

from __future__ import annotations

import os

import pytest

from tests.checkout import finished, scratch

__all__ = ["finished", "scratch"]

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file run in one worker, for they share what the file makes; those of Slurm too, for there is one of it."""
    for item in items:
        group = "slurm" if item.path.parent.name == "slurm" else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
