"""Settings of all tests: one thread, no hub, long tests first, and one worker per file."""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.checkout import finished, scratch

__all__ = ["finished", "scratch"]

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


# minutes each; started first, so that no worker has to finish them alone
LONG = ["slurm/test_whole_graph", "slurm/", "workflow/test_faults", "workflow/test_shared_cache", "workflow/test_paper_small"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first."""

    def place(item: pytest.Item) -> int:
        return next((place for place, name in enumerate(LONG) if item.nodeid.startswith(f"tests/{name}")), len(LONG))

    items.sort(key=place)


class _ByFile(LoadScopeScheduling):
    """Tests of a file run in one worker, because they share fixtures; all tests of Slurm, because there is only one cluster."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "slurm" if path.startswith("tests/slurm/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """How pytest-xdist distributes tests, whatever `--dist` says."""
    return _ByFile(config, log)
