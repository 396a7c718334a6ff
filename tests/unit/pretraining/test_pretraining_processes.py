"""Several processes, started by accelerate's launcher on one machine or more, train like one."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from pretraining_cases import GROUPS, history, job, run, weights

from lexigraft.errors import ConfigError, LexigraftError
from lexigraft.pretraining.engine import hardware
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.launch import accelerate_configuration, launch
from lexigraft.training.interruption import EXIT_CODE, Interrupted

SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do echo "$1" >> "$SLURM_JOB_OPTIONS"; shift; done
SLURM_NODEID=1 "$@" & other=$!
SLURM_NODEID=0 "$@" && wait $other
"""
SHORT = {
    **{"steps": 3, "checkpoints": [3], "accumulation": 3},
    "phases": [{"until": 1, "learning_rates": {"encoder": 0}}, {"until": 3}],
}


@pytest.fixture(scope="module")
def alone(pretraining_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(pretraining_inputs, tmp_path_factory.mktemp("alone"), **SHORT)


def assert_equal_up_to_rounding(together: Job, alone: Path, pretraining_inputs: Path) -> None:
    """The last checkpoint of a job is what one process ends with."""
    tensors = together.checkpoints().read(3)
    assert np.allclose(tensors["history/loss"], history(alone)["loss"], rtol=1e-5)
    assert np.allclose(tensors["history/gradient_norm"], history(alone)["gradient_norm"], rtol=1e-4)
    assert np.allclose(tensors["held_out/loss"], history(alone, "held_out")["loss"], rtol=1e-5)
    start = weights(pretraining_inputs, 0)
    # a BERT's parameters are named in checkpoints as in model files
    for name, value in weights(alone, 3).items():
        assert np.abs(tensors[f"model/{name}"] - value).max() < 0.02 * np.abs(value - start[name]).max() + 1e-7, name


def test_two_processes_train_like_one(
    pretraining_inputs: Path, alone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = job(pretraining_inputs, tmp_path / "state", processes=2, **SHORT)
    with caplog.at_level(logging.INFO):
        launch(started)
    assert_equal_up_to_rounding(started, alone, pretraining_inputs)
    assert "[process 0] device: CPU, 2 process(es) on 1 machine(s)" in caplog.text
    tables = {"history.parquet", "held_out.parquet", "speed.parquet"}
    assert {path.name for path in started.folder.iterdir() if not path.match("checkpoint-*.safetensors")} == tables


def test_two_machines_train_like_one(
    pretraining_inputs: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two scripts replace the programs of Slurm: `srun` starts the command twice, as on two machines that meet at one."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/sh\necho 127.0.0.1\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"NODELIST": "two", "OPTIONS": str(tmp_path / "options")}.items():
        monkeypatch.setenv(f"SLURM_JOB_{name}", value)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    started = job(pretraining_inputs, tmp_path / "state", processes=1, machines=2, **SHORT)
    launch(started)
    assert_equal_up_to_rounding(started, alone, pretraining_inputs)
    options = (tmp_path / "options").read_text().split()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--overlap", "--cpus-per-task=3"} <= set(options)


def test_an_error_in_a_process_is_raised_by_the_launcher(pretraining_inputs: Path, tmp_path: Path) -> None:
    started = job(pretraining_inputs, tmp_path / "state", processes=2, learning_rates=dict.fromkeys(GROUPS, 1e38), save_every=1)
    with pytest.raises(LexigraftError, match="diverged at step 2: loss nan"):
        launch(started)
    assert started.checkpoints().path(1).exists()
    assert len(list(started.folder.glob("diverged-step-00000002-process-*.safetensors"))) >= 1


def test_a_process_that_crashes_ends_the_run(
    pretraining_inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = job(pretraining_inputs, tmp_path / "state", processes=2).model_copy(update={"seed": -1})
    with caplog.at_level(logging.INFO), pytest.raises(RuntimeError, match="training in 2 processes ended with exit code 1"):
        launch(started)
    assert "greater than or equal to 0" in caplog.text


def test_all_processes_stop_at_the_same_step_when_one_receives_a_signal(pretraining_inputs: Path, tmp_path: Path) -> None:
    changes = {"steps": 4000, "checkpoints": [1, 4000], "save_every": 5000}
    started = job(pretraining_inputs, tmp_path / "state", processes=2, **changes)

    def signal_this_process() -> None:
        while not started.checkpoints().path(1).exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)

    signaling = threading.Thread(target=signal_this_process, daemon=True)
    signaling.start()
    with pytest.raises(Interrupted) as caught:
        launch(started)
    signaling.join()
    assert caught.value.code == EXIT_CODE
    assert 1 < caught.value.step < 4000
    assert started.checkpoints().path(caught.value.step).exists()
    assert not started.stop_file.exists()


def test_the_launchers_configuration_is_complete(pretraining_inputs: Path, tmp_path: Path) -> None:
    started = job(pretraining_inputs, tmp_path, processes=4, machines=3)
    values = yaml.safe_load(accelerate_configuration(started, "node-1", 29_400))
    assert (values["num_processes"], values["num_machines"], values["main_process_ip"]) == (12, 3, "node-1")
    assert values["use_cpu"] is True


def test_micro_batches_that_cannot_be_shared_are_refused_and_uneven_shares_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"2 micro-batches per step \(`accumulation`\) cannot be shared by 3 GPUs"):
        hardware(0, 2, 3)
    assert hardware(0, 5, 2) == ("cpu", 1)
    assert "shared unevenly by 2" in caplog.text


def test_a_wrong_number_of_processes_is_refused(pretraining_inputs: Path, tmp_path: Path) -> None:
    started = job(pretraining_inputs, tmp_path / "state", processes=2)
    (tmp_path / "job.json").write_text(started.model_dump_json())
    command = [sys.executable, "-m", "lexigraft.pretraining.worker", "train", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert "1 processes were started, the run is for 2" in (tmp_path / "error-0.json").read_text()
