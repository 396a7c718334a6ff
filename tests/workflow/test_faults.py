"""The quick part of the fault suite (tests/faults): some faults of the small run, with fixed seeds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lexigraft.artifacts import read_provenance
from tests.checkout import Checkout
from tests.faults.faults import FAULTS, Trial
from tests.faults.workspace import Workspace, copy_of, kill


@pytest.mark.parametrize(
    "name",
    [
        "stage killed (-9, TERM)",
        "head killed (-9)",
        "second Snakemake in the folder",
        "sealed artifact truncated or a bit flipped",
        "unsealed file truncated or a bit flipped",
    ],
)
def test_a_fault_is_survived_or_reported(finished: Checkout, tmp_path: Path, name: str) -> None:
    undisturbed = Workspace(finished.folder, config="mini.yaml")
    outcome = FAULTS[name](Trial(undisturbed, undisturbed, tmp_path / "trial", random.Random(name)))
    # other outcomes raise `WrongOutcome`
    assert outcome.kind in {"survived", "clear error"}


def test_outputs_of_an_old_configuration_are_made_again_after_a_killed_job(finished: Checkout, tmp_path: Path) -> None:
    workspace = copy_of(Workspace(finished.folder, config="mini.yaml"), tmp_path / "trial", ())
    configuration = tmp_path / "trial" / "mini.yaml"
    configuration.write_text(configuration.read_text().replace("layer: 1", "layer: 2"))
    ranks = len(list(workspace.folder.glob("results/mini/ranks/sr_b/[!.]*.parquet")))
    run = workspace.start("all")
    stage = workspace.wait_for_stage(run)
    assert stage is not None
    kill([stage.pid])
    assert run.wait().code != 0
    left = list(workspace.folder.glob("results/mini/ranks/sr_b/[!.]*.parquet"))
    planned = workspace.snakemake("-n", "all").text
    made = [path for path in left if read_provenance(path)["parameters"]["settings"]["layer"] == 2]
    assert f"ranks {ranks - len(made)} " in " ".join(planned.split()) + " "
