"""The quick part of the fault suite (tests/faults): some faults at seeded moments of the small run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lexigraft.artifacts import read_provenance
from tests.faults.faults import FAULTS, Moment
from tests.faults.ground import Ground, copy_of, kill

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


def test_what_stands_is_not_believed_after_a_killed_job_of_another_configuration(finished: Checkout, tmp_path: Path) -> None:
    ground = copy_of(Ground(finished.folder, config="mini.yaml"), tmp_path / "moment", ())
    configuration = tmp_path / "moment" / "mini.yaml"
    configuration.write_text(configuration.read_text().replace("layer: 1", "layer: 2"))
    ranks = len(list(ground.folder.glob("results/mini/ranks/sr_b/[!.]*.parquet")))
    run = ground.start("all")
    stage = ground.wait_for_stage(run)
    assert stage is not None
    kill([stage.pid])
    assert run.wait().code != 0
    left = list(ground.folder.glob("results/mini/ranks/sr_b/[!.]*.parquet"))
    planned = ground.snakemake("-n", "all").text
    made = [path for path in left if read_provenance(path)["parameters"]["settings"]["layer"] == 2]
    assert f"ranks {ranks - len(made)} " in " ".join(planned.split()) + " "
