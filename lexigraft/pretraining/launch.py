"""Several processes of one machine that train together, one a GPU.

They are started as `python -m lexigraft.pretraining.launch`, as torchrun would, and not through `multiprocessing`: that runs
the main script again in every child, and the main script of a stage is the stage. Each watches a pipe from its parent: if the
parent is killed, they end as well.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lexigraft.errors import LexigraftError
from lexigraft.pretraining.job import Job

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]


def launch(job: Job) -> None:
    """Train `job` in `job.processes` processes and wait for them; their log lines become lines of this process's log.

    Raises:
        LexigraftError: as raised in a process.
        RuntimeError: a process ended in another way; its last words are in the log.
    """
    with tempfile.TemporaryDirectory(prefix="lexigraft-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        workers = [_start(job, folder, rank) for rank in range(job.processes)]
        relays = [threading.Thread(target=_relay, args=(rank, worker), daemon=True) for rank, worker in enumerate(workers)]
        try:
            for relay in relays:
                relay.start()
            while any(worker.poll() is None for worker in workers) and not any(worker.poll() for worker in workers):
                time.sleep(0.1)
        finally:
            failed = [(rank, worker.returncode) for rank, worker in enumerate(workers) if worker.returncode]
            for worker in workers:
                worker.kill()
                worker.wait()
            for relay in relays:
                relay.join()
        for path in sorted(folder.glob("error-*.json")):
            raise LexigraftError(**json.loads(path.read_text(encoding="utf-8")))
    if failed:
        rank, code = failed[0]
        raise RuntimeError(f"training process {rank} of {job.processes} ended with exit code {code}: see the log")


def _start(job: Job, folder: Path, rank: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": str(job.threads),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "lexigraft.pretraining.launch", str(folder), str(rank)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _relay(rank: int, worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        log.info("[process %d] %s", rank, line.rstrip())


def _work(folder: Path, rank: int) -> None:
    """Body of one process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # only the first process tells what all of them do
    level = logging.INFO if rank == 0 else logging.WARNING
    logging.basicConfig(stream=sys.stdout, level=level, format="%(message)s", force=True)
    job = Job.model_validate_json((folder / "job.json").read_text(encoding="utf-8"))

    import torch
    from torch import distributed

    from lexigraft.pretraining.group import Group, device_of
    from lexigraft.pretraining.loop import train

    device = device_of(job.device, rank)
    if job.device == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if job.device == "cuda" else "gloo",
        init_method=f"file://{folder / 'rendezvous'}",
        rank=rank,
        world_size=job.processes,
    )
    try:
        train(job, Group(device, rank, job.processes))
        distributed.destroy_process_group()
    except LexigraftError as error:
        told = {"problem": error.problem, "where": error.where and str(error.where), "hint": error.hint}
        (folder / f"error-{rank}.json").write_text(json.dumps(told), encoding="utf-8")
        sys.exit(1)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]))
