"""The workflow retries interrupted pre-training, with the same bytes as without the interruption."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from lexigraft.artifacts import read_table
from tests.checkout import Checkout, edit

MODEL = "results/mini/models/ofa-minilm-32"
LANGUAGES = ("eng_Latn", "fra_Latn", "kor_Hang")


@pytest.fixture
def longer(scratch: Checkout) -> Checkout:
    """The small run with more pre-training steps of one model."""
    changed = "  steps: 60\n  checkpoints: [60]\n  models: [ofa-minilm-32]\n"
    edit(scratch.folder / "mini.yaml", "  steps: 2\n  checkpoints: [2]\n", changed)
    return scratch


def trained(checkout: Checkout) -> dict[str, bytes]:
    return checkout.artifacts(f"{MODEL}/step-60/*", f"{MODEL}/pretraining_h*.parquet", f"{MODEL}/pretraining_l*.parquet")


def test_an_interrupted_job_is_retried(longer: Checkout) -> None:
    target = f"{MODEL}/step-60/model.safetensors"
    longer.run(target)
    wanted = trained(longer)
    assert len(wanted) == 9
    (longer.folder / target).unlink()

    log = longer.folder / "logs/pretraining/ofa-minilm-32.log"
    log.unlink()
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = longer.command("--cores", "1", "--retries", "1", "--", target)
    with subprocess.Popen(command, cwd=longer.folder, env=longer.environment(), **streams) as running:
        while running.poll() is None and not (log.exists() and "step 4 of 60" in log.read_text()):
            time.sleep(0.05)
        for process in psutil.Process(running.pid).children(recursive=True):
            if any(Path(part).name.endswith("pretraining.py") for part in process.cmdline()[:2]):
                process.send_signal(signal.SIGUSR1)
        output = running.communicate()[0]
    assert running.returncode == 0, output
    assert "non-zero exit status 75" in output
    assert "Trying to restart job" in output
    assert "continuing after step" in log.read_text()
    assert trained(longer) == wanted


def test_every_language_is_packed_and_counted(finished: Checkout) -> None:
    table = read_table(finished.folder / MODEL / "pretraining_languages.parquet", "pretraining")
    assert table["language"].to_list() == list(LANGUAGES)
    assert table["drawn"].sum() == 4
    held_out = read_table(finished.folder / MODEL / "pretraining_held_out.parquet", "pretraining")
    assert held_out.group_by("step", maintain_order=True).len().rows() == [(0, 3), (2, 3)]
