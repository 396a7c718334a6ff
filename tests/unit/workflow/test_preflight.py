"""Problems that are found before the first job starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lexigraft.artifacts import Provenance, write_tensors
from lexigraft.errors import ArtifactError
from lexigraft.workflow.preflight import LEAST_ROOM, check_before_start, check_records

ROOT = Path(__file__).parents[3]
_DAC = "-dac_override,-dac_read_search"


def written(path: Path) -> Path:
    write_tensors(path, {"one": np.ones(3, dtype=np.float32)}, Provenance("factors"))
    return path


def test_a_sound_plan_passes(tmp_path: Path) -> None:
    path = written(tmp_path / "one.safetensors")
    check_before_start([path], [path, tmp_path / "not yet made"], [tmp_path / "new" / "folder" / "out", path])
    check_records(tmp_path / ".snakemake")
    (tmp_path / ".snakemake" / "metadata").mkdir(parents=True)
    check_records(tmp_path / ".snakemake")


def test_a_changed_artifact_that_is_damaged_stops_the_run(tmp_path: Path) -> None:
    sound, damaged = written(tmp_path / "one.safetensors"), written(tmp_path / "two.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"\x00\x01")
    check_before_start([sound], [sound, damaged], [])
    with pytest.raises(ArtifactError, match=r"two\.safetensors") as caught:
        check_before_start([sound, damaged], [], [])
    assert "delete these files" in str(caught.value)


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=LEAST_ROOM)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check_before_start([], [], [tmp_path / "out"])
    usage.free -= 1
    with pytest.raises(ArtifactError, match="make room on this disk") as caught:
        check_before_start([], [], [tmp_path / "new" / "out"])
    assert caught.value.where == tmp_path


@pytest.mark.parametrize(
    ("place", "mode", "call", "message"),
    [
        ("results", 0o555, "check_before_start([], [], [Path('results/new/out')])", "make the folder writable"),
        ("results/in", 0o000, "check_before_start([], [Path('results/in')], [])", "make the file readable"),
        (".snakemake/locks", 0o555, "check_records(Path('.snakemake'))", "make the folder writable"),
    ],
)
def test_permissions_are_checked(tmp_path: Path, place: str, mode: int, call: str, message: str) -> None:
    bound = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root ignores permissions, and setpriv is not installed")
        bound = ["setpriv", f"--bounding-set={_DAC}", f"--inh-caps={_DAC}"]
    for folder in ("results", ".snakemake/locks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "results" / "in").touch()
    (tmp_path / place).chmod(mode)
    code = f"from pathlib import Path; from lexigraft.workflow.preflight import *; {call}"
    done = subprocess.run(
        [*bound, sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / place).chmod(0o755)
    assert done.returncode == 1
    assert message in done.stderr
    assert place in done.stderr
