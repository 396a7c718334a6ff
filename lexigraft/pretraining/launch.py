"""Several processes that train together, started by accelerate's launcher: one per GPU, on one machine or more.

`accelerate launch` is run on every machine; on more than one, `srun` of Slurm starts it there. The launcher runs
`python -m lexigraft.pretraining.worker`, and not this process's main script, which is the stage. Workers of one machine watch
a pipe from here: if this process is killed, they end as well.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lexigraft.errors import ConfigError, LexigraftError
from lexigraft.pretraining.job import Job
from lexigraft.training.interruption import Interrupted, Interruption

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
WATCH_PARENT = "LEXIGRAFT_WATCH_PARENT"
_PORT = 29_400


def launch(job: Job) -> None:
    """Train `job` in `job.processes` processes on each of `job.machines` machines and wait for them.

    Their log lines become lines of this process's log.

    Raises:
        Interrupted: training was asked to stop; a checkpoint is written.
        LexigraftError: as raised in a process.
        RuntimeError: a process ended in another way; its last lines are in the log.
    """
    # in the run's own folder, which all machines see
    job.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="launch-", dir=job.folder))
    try:
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        host, port = _free_port() if job.machines == 1 else (_first_machine(), _PORT + os.getpid() % 500)
        (folder / "accelerate.yaml").write_text(accelerate_configuration(job, host, port), encoding="utf-8")
        command = [sys.executable, "-m", "lexigraft.pretraining.worker", "launch", str(folder)]
        if job.machines > 1:
            # a new step in the step of Snakemake's one task: it shares the resources, but must state its own numbers
            options = [f"--nodes={job.machines}", f"--ntasks={job.machines}", "--ntasks-per-node=1", "--overlap"]
            processors = os.environ.get("SLURM_CPUS_PER_TASK")
            options += ["--kill-on-bad-exit=1", *([f"--cpus-per-task={processors}"] if processors else [])]
            command = ["srun", *options, *command]
        code = _run(job, command)
        for path in sorted(folder.glob("error-*.json")):
            raise LexigraftError(**json.loads(path.read_text(encoding="utf-8")))
        if (folder / "interrupted").exists():
            raise Interrupted(int((folder / "interrupted").read_text(encoding="utf-8")), job.folder)
        if code:
            total = job.processes * job.machines
            raise RuntimeError(f"training in {total} processes ended with exit code {code}: see the log")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        job.stop_file.unlink(missing_ok=True)


def accelerate_configuration(job: Job, host: str, port: int) -> str:
    """The configuration file of `accelerate launch` (JSON, which is YAML); all values are given: no user's defaults apply.

    `MULTI_GPU` names the launcher that starts processes as torchrun does, on CPUs as well.
    """
    return json.dumps(
        {
            "compute_environment": "LOCAL_MACHINE",
            "distributed_type": "MULTI_GPU",
            "num_machines": job.machines,
            "num_processes": job.processes * job.machines,
            "machine_rank": 0,
            "main_process_ip": host,
            "main_process_port": port,
            "rdzv_backend": "static",
            "same_network": True,
            "gpu_ids": "all",
            "mixed_precision": "no",  # the training loop sets its own
            "use_cpu": job.device == "cpu",
            "main_training_function": "main",
            "downcast_bf16": "no",
            "debug": False,
        },
        indent=1,
    )


def _run(job: Job, command: list[str]) -> int:
    """Run the launcher, pass its lines on, and ask the workers to stop when this process is asked to."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": str(job.threads),
        "PYTHONUNBUFFERED": "1",
        # torchrun would end the workers within seconds of a signal; they stop by themselves after a checkpoint
        "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGINT",
        WATCH_PARENT: "1" if job.machines == 1 else "",
    }
    with Interruption(job.stop_file).watched() as interruption:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        relay = threading.Thread(target=_relay, args=(process.stdout,), daemon=True)
        relay.start()
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(0.2)
                    break
                if interruption.signaled:
                    job.stop_file.touch()
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            relay.join()
    return code


def _relay(lines: Iterable[str]) -> None:
    for line in lines:
        log.info("[training] %s", line.rstrip())


def _free_port() -> tuple[str, int]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return "127.0.0.1", int(found.getsockname()[1])


def _first_machine() -> str:
    """Name of the first machine of a Slurm job; ConfigError if this is none."""
    names = os.environ.get("SLURM_JOB_NODELIST")
    if not names or shutil.which("scontrol") is None:
        raise ConfigError(
            "training on several machines is started by Slurm, and this is no Slurm job",
            where="nodes",
            hint="set `nodes: 1`, or run the workflow with a Slurm profile",
        )
    listed = subprocess.run(["scontrol", "show", "hostnames", names], capture_output=True, text=True, check=True).stdout
    return listed.split()[0]
