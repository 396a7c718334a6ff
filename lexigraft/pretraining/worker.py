"""A training process, and the launcher of a machine's processes: `python -m lexigraft.pretraining.worker launch FOLDER`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from lexigraft.errors import LexigraftError
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.launch import WATCH_PARENT
from lexigraft.training.interruption import SIGNALS, Interrupted

MODULE = "lexigraft.pretraining.worker"


def launch_here(folder: Path) -> None:
    """Run `accelerate launch` with the configuration in `folder`; under Slurm this machine's number comes from there."""
    from accelerate.commands.launch import launch_command, launch_command_parser

    # the workers get the signals as well, and write a checkpoint
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    arguments = ["--config_file", str(folder / "accelerate.yaml"), "--machine_rank", os.environ.get("SLURM_NODEID", "0")]
    launch_command(launch_command_parser().parse_args([*arguments, "--module", MODULE, "train", str(folder)]))


def work(folder: Path) -> None:
    """Body of one process."""
    if os.environ.get(WATCH_PARENT):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    job = Job.model_validate_json((folder / "job.json").read_text(encoding="utf-8"))

    from lexigraft.pretraining.group import group_of
    from lexigraft.pretraining.loop import train

    with group_of(job.device) as group:
        # all processes do the same: only the first one logs it
        level = logging.INFO if group.is_main_process else logging.WARNING
        logging.basicConfig(stream=sys.stdout, level=level, format=f"[process {group.process_index}] %(message)s", force=True)
        try:
            train(job, group)
        except Interrupted as interrupted:
            (folder / "interrupted").write_text(str(interrupted.step), encoding="utf-8")
            raise
        except LexigraftError as error:
            description = {"problem": error.problem, "where": error.where and str(error.where), "hint": error.hint}
            (folder / f"error-{group.process_index}.json").write_text(json.dumps(description), encoding="utf-8")
            sys.exit(1)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    {"launch": launch_here, "train": work}[sys.argv[1]](Path(sys.argv[2]))
