"""The workflow as a module of another Snakefile, in another folder with its own rules and configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout

MINI = Path(__file__).parent / "mini.yaml"
OUTER = """
configfile: "lab.yaml"

rule all:
    input:
        "summary.txt",

module lexigraft:
    snakefile:
        "{checkout}/Snakefile"
    config:
        config["lexigraft"]

use rule * from lexigraft as lexigraft_*

rule summary:
    input:
        factors="{base}resources/factors/minilm-32.safetensors",
    output:
        "summary.txt",
    run:
        from pathlib import Path

        Path(output[0]).write_text(str(Path(input.factors).stat().st_size))
"""


class Lab:
    """A folder with a Snakefile that uses a checkout as a module; the module's configuration is part of its own."""

    def __init__(self, folder: Path, checkout: Path, **changed: object) -> None:
        self.folder = folder
        folder.mkdir()
        config = yaml.safe_load(MINI.read_text()) | changed
        (folder / "lab.yaml").write_text(yaml.safe_dump({"threshold": 3, "lexigraft": config}))
        base = "elsewhere/" if "pathvars" in changed else ""
        (folder / "Snakefile").write_text(OUTER.format(checkout=checkout, base=base))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", *arguments]
        environment = Checkout.environment()
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment, check=False)

    def run(self, *arguments: str) -> str:
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout without any results."""
    return Checkout(tmp_path / "checkout")


def jobs(output: str) -> dict[str, int]:
    """Rule -> number of jobs, from the table that Snakemake prints for a plan."""
    rows = [line.split() for line in output.partition("Job stats:")[2].partition("\ntotal ")[0].splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def test_another_workflow_can_run_and_plan_the_rules(scratch: Checkout, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", scratch.folder)
    # the default target is its own first rule, not that of the module
    assert jobs(lab.run("-n")) == {"lexigraft_source": 1, "lexigraft_factors": 1, "summary": 1, "all": 1}
    lab.run("--cores", "2")
    made = lab.folder / "resources/factors/minilm-32.safetensors"
    assert int((lab.folder / "summary.txt").read_text()) == made.stat().st_size
    # the same bytes as in the checkout: code, lock and configuration are the same
    assert made.read_bytes() == (scratch.folder / "resources/factors/minilm-32.safetensors").read_bytes()
    assert not (scratch.folder / "summary.txt").exists()
    assert "Nothing to be done" in lab.run("-n")
    planned = jobs(lab.run("-n", "lexigraft_all"))
    assert planned.pop("lexigraft_all") == 1
    assert {name for name in planned if not name.startswith("lexigraft_")} == set()
    # all 35 jobs of the small run except the source and the factors, which exist already
    assert sum(planned.values()) == 33
    assert planned["lexigraft_initialized_model"] == 4
    # the run has the name in the module's configuration
    assert jobs(lab.run("-n", "results/mini/scores.parquet"))["lexigraft_scores"] == 1


def test_the_profile_of_the_checkout_can_be_used(checkout: Checkout, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", checkout.folder)
    profile = ("--workflow-profile", str(checkout.folder / "profiles/default"))
    lab.run("--cores", "2", *profile)
    for path in lab.folder.glob("resources/**/*"):
        os.utime(path)
    script = checkout.folder / "workflow_scripts/factors.py"
    os.utime(script)
    assert "Nothing to be done" in lab.run("-n", *profile)


def test_folders_of_the_module_configuration_are_used(checkout: Checkout, tmp_path: Path) -> None:
    pathvars = {name: f"elsewhere/{name}" for name in ("resources", "results", "logs")}
    lab = Lab(tmp_path / "lab", checkout.folder, pathvars=pathvars)
    assert jobs(lab.run("-n"))["lexigraft_factors"] == 1
    assert "elsewhere/results/scores.parquet" in lab.run("-n", "lexigraft_all")


def test_a_mistake_in_the_module_configuration_is_reported(checkout: Checkout, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", checkout.folder, tokenizers={})
    done = lab.snakemake("-n")
    assert done.returncode != 0
    assert "tokenizers: Dictionary should have at least 1 item" in done.stdout + done.stderr


@pytest.mark.parametrize("first", ["other", "module"])
def test_two_checkouts_in_one_workflow_are_refused(checkout: Checkout, tmp_path: Path, first: str) -> None:
    other = Checkout(tmp_path / "other")
    lab = Lab(tmp_path / "lab", checkout.folder)
    text = (lab.folder / "Snakefile").read_text()
    second = text[text.index("module lexigraft") : text.index("rule summary")].replace("lexigraft:", "second:")
    second = second.replace("from lexigraft as lexigraft_", "from second as second_").replace(
        str(checkout.folder), str(other.folder)
    )
    place = "module lexigraft" if first == "other" else "rule summary"
    (lab.folder / "Snakefile").write_text(text.replace(place, f"{second}{place}"))
    done = lab.snakemake("-n")
    assert done.returncode != 0
    assert "two checkouts of lexigraft cannot be modules of one workflow" in done.stdout + done.stderr
