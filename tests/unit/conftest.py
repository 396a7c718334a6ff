"""What tests of several files share, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pretraining_cases import write_inputs


@pytest.fixture(scope="session")
def pretraining_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model and its data, which no test changes."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder
