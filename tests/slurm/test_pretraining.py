"""Pre-training writes a checkpoint near its time limit, and the next attempt resumes from it and gives the same bytes."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from tests.checkout import Checkout, edit
from tests.slurm.cluster import Cluster, Job, call, wait_for
from tests.slurm.conftest import Head

MODEL = "results/mini/models/ofa-minilm-32"
TARGET = f"{MODEL}/step-20/model.safetensors"


def test_pretraining_resumes_after_the_time_limit_warning(cluster: Cluster, scratch: Checkout) -> None:
    longer = "  steps: 20\n  checkpoints: [20]\n  models: [ofa-minilm-32]\n"
    edit(scratch.folder / "mini.yaml", "  steps: 2\n  checkpoints: [2]\n", longer)
    scratch.run("--", TARGET)
    patterns = (f"{MODEL}/step-20/*", f"{MODEL}/pretraining_h*.parquet", f"{MODEL}/pretraining_l*.parquet")
    wanted = scratch.artifacts(*patterns)
    assert len(wanted) == 9
    for name in wanted:
        (scratch.folder / name).unlink()
    log = scratch.folder / "logs/pretraining/ofa-minilm-32.log"
    log.unlink()

    with Head(scratch, "--", TARGET) as head:
        job = cluster.wait_for_job("pretraining", name=head.run_id)
        wait_for("some steps", lambda: log.exists() and "step 4 of 20" in log.read_text())
        training = stage_process(cluster.processes(job))
        # training is suspended until Slurm has sent its warning, five minutes before the limit, however fast the machine is
        training.suspend()
        call("scontrol", "update", f"JobId={job.id}", f"TimeLimit={minutes_run(job) + 5}")
        wait_for("the warning", lambda: is_pending(training.pid, signal.SIGUSR1) or "received SIGUSR1" in log.read_text())
        with suppress(psutil.NoSuchProcess):
            training.resume()
        output = head.wait()
    assert "Trying to restart job" in output
    assert "non-zero exit status 75" in output
    assert "continuing after step" in log.read_text()
    assert scratch.artifacts(*patterns) == wanted
    states = [found.state for found in cluster.jobs_of("pretraining", name=head.run_id)]
    assert states == ["FAILED", "COMPLETED"]


def minutes_run(job: Job) -> int:
    """Number of full minutes that a job has run."""
    found = re.search(r"RunTime=(\d+):(\d+):\d+", call("scontrol", "show", "job", job.id))
    assert found is not None
    return 60 * int(found[1]) + int(found[2])


def stage_process(processes: list[psutil.Process]) -> psutil.Process:
    """The training process among the processes of a job."""
    for process in processes:
        with suppress(psutil.Error):
            arguments = process.cmdline()
            if "python" in Path(arguments[0]).name and Path(arguments[1]).name.endswith("pretraining.py"):
                return process
    raise AssertionError([process.cmdline() for process in processes])


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal is pending for a stopped process."""
    if not psutil.pid_exists(pid):
        return False
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return bool(int(status["ShdPnd"], 16) >> (number - 1) & 1)
