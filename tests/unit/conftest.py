"""What tests of several files share, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from pretraining_cases import LONG, run, write_inputs

# how long an example takes depends on what else the machine does; the same examples every time, others with
# `--hypothesis-profile=exploring`
settings.register_profile("exploring", deadline=None)
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def pretraining_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model and its data, which no test changes."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="session")
def uninterrupted(pretraining_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a long run leaves that nothing disturbs."""
    return run(pretraining_inputs, tmp_path_factory.mktemp("uninterrupted"), **LONG)
