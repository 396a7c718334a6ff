"""The quick part of the fault suite (tests/faults): some faults at seeded moments of the small run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.faults import FAULTS, Moment
from tests.faults.ground import Ground

from .conftest import Checkout


@pytest.mark.parametrize(
    "name",
    [
        "stage killed (-9, TERM)",
        "head killed (-9)",
        "second Snakemake in the folder",
        "sealed artifact cut short or a bit flipped",
        "unsealed file cut short or a bit flipped",
    ],
)
def test_a_fault_is_survived_or_named(finished: Checkout, tmp_path: Path, name: str) -> None:
    undisturbed = Ground(finished.folder, config="mini.yaml")
    outcome = FAULTS[name](Moment(undisturbed, undisturbed, tmp_path / "moment", random.Random(name)))
    # anything else raises `Wrong`
    assert outcome.kind in {"survived", "clear error"}
