"""A real Slurm cluster of one node (munged, slurmctld, slurmd) with fake GPUs; needs root and Debian's packages."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

# a fixed folder, so that the next session finds and stops the daemons of a killed one
FOLDER = Path(tempfile.gettempdir()) / "lexigraft-test-slurm"
ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
DAEMONS = ("slurmd", "slurmctld", "munged")
# character devices that exist everywhere replace GPUs: Slurm assigns their numbers
GPUS = ("/dev/null", "/dev/zero")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/spool/controller
SlurmdSpoolDir={folder}/spool/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
# no control groups: works in a container; memory use is sampled every second
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill,UsePss
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
MinJobAge=3600
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
KillWait=3
SlurmdTimeout=300
JobRequeue=0
AccountingStorageType=accounting_storage/none
GresTypes=gpu
# may be more than the machine has: the tests are about Slurm, not about the machine
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 Gres=gpu:fake:{gpus} State=UNKNOWN
PartitionName=standard Nodes={host} Default=YES MaxTime=1-0 State=UP
PartitionName=gpus Nodes={host} MaxTime=1-0 State=UP
"""


class Unavailable(Exception):
    """Slurm cannot be started here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as listed by squeue; `comment` contains rule and wildcards, `name` the run."""

    id: str
    state: str
    comment: str
    name: str
    partition: str
    memory: str
    minutes: str

    @property
    def megabytes(self) -> int:
        """The requested memory."""
        return int(self.memory.removesuffix("M"))


def wait_for(what: str, found: Callable[[], T], seconds: float = 600) -> T:
    """Call `found` until it returns a true value, and return that; the time limit is for a busy machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    raise TimeoutError(f"waited {seconds} s for {what}\n{tail(FOLDER / 'slurmctld.log')}\n{tail(FOLDER / 'slurmd.log')}")


def tail(path: Path) -> str:
    return f"{path.name}:\n" + "\n".join(path.read_text().splitlines()[-15:]) if path.is_file() else ""


def call(*command: str) -> str:
    """Standard output of a command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


class Cluster:
    """The Slurm cluster of the tests. `start` and `stop` may be called in any state."""

    def __init__(self) -> None:
        self.host = socket.gethostname().split(".")[0]
        self._lock = (Path(tempfile.gettempdir()) / "lexigraft-test-slurm.lock").open("w")
        self._is_ours = False  # whether this session holds the lock and owns the folder

    def start(self) -> None:
        """Install what is missing, start the daemons and wait until the node takes jobs.

        Raises:
            Unavailable: with the reason.
        """
        if os.geteuid() != 0:
            raise Unavailable("starting Slurm needs root")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable("another test session uses the Slurm of this machine") from None
        self._is_ours = True
        if any((ETC / name).exists() and not self._ours(ETC / name) for name in FILES):
            raise Unavailable(f"this machine has a Slurm of its own ({ETC})")
        self._install()
        self.stop(keep_lock=True)
        self._configure()
        self._start_munge()
        call("slurmctld", "-i")
        self.start_node()

    def stop(self, keep_lock: bool = False) -> None:
        """End all jobs and daemons, also those of a killed session, and remove the files; other sessions are not affected."""
        if not self._is_ours:
            return
        with suppress(OSError, subprocess.SubprocessError, AssertionError, TimeoutError):
            if self._process("slurmctld"):
                call("scancel", "--full", "--user=root")
                wait_for("the end of all jobs", lambda: not call("squeue", "--noheader").strip(), 60)
        self._kill_leftover_processes()
        for daemon in DAEMONS:
            self._end(daemon)
        for name in FILES:
            if self._ours(ETC / name):
                (ETC / name).unlink()
        shutil.rmtree(FOLDER, ignore_errors=True)
        if not keep_lock:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._is_ours = False

    def _kill_leftover_processes(self) -> None:
        """Kill processes of ended jobs: without control groups Slurm loses those whose parent ends first."""
        if not self._ours(ETC / "slurm.conf"):
            return
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == str(ETC / "slurm.conf") and "SLURM_JOB_ID" in process.environ():
                    process.kill()

    def start_node(self) -> None:
        """Start slurmd and wait until the node takes jobs."""
        call("slurmd", "-N", self.host)
        wait_for("the node", self.node_is_up, 120)

    def kill_node(self) -> None:
        """Kill slurmd at once; running jobs continue."""
        process = self._process("slurmd")
        assert process is not None
        process.kill()
        wait_for("the end of slurmd", lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 60)

    def fail_node(self, job: Job) -> None:
        """Make the node fail while `job` runs on it, and recover."""
        call("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=test")
        wait_for(
            "the loss of the job", lambda: [found for found in self.jobs() if (found.id, found.state) == (job.id, "NODE_FAIL")]
        )
        if not self.node_is_up():  # it may have recovered by itself
            resume = ["scontrol", "update", f"NodeName={self.host}", "State=RESUME"]
            subprocess.run(resume, capture_output=True, check=False)
        wait_for("the node", self.node_is_up, 120)

    def node_is_up(self) -> bool:
        state = call("sinfo", "--noheader", "--format=%T", "--partition=standard").strip()
        return state.rstrip("*") in ("idle", "mixed", "allocated")

    def jobs(self) -> list[Job]:
        """All submitted jobs, in order."""
        output = call("squeue", "--states=all", "--noheader", "--sort=i", "--format=%i|%T|%k|%j|%P|%m|%l")
        return [Job(*line.split("|")) for line in output.splitlines()]

    def jobs_of(self, rule: str, wildcards: str = "", state: str = "", name: str = "") -> list[Job]:
        """Jobs of a rule, with a text in their wildcards, in a state, of a run; an empty argument matches all."""
        return [
            job
            for job in self.jobs()
            if (not rule or (job.comment + "_").startswith(f"rule_{rule}_"))
            and wildcards in job.comment
            and state in job.state
            and name in job.name
        ]

    def wait_for_job(self, rule: str, wildcards: str = "", state: str = "RUNNING", name: str = "") -> Job:
        """Wait until `jobs_of` finds a job, and return the last one."""
        what = f"a job of {rule or 'any rule'} {wildcards} that is {state}"
        return wait_for(what, lambda: self.jobs_of(rule, wildcards, state, name))[-1]

    @staticmethod
    def processes(job: Job) -> list[psutil.Process]:
        """All processes of a job."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("SLURM_JOB_ID") == job.id:
                    found.append(process)
        return found

    def suspended_over_memory(self, job: Job) -> bool:
        """Suspend all processes of a job that uses over 20% more memory than requested (by PSS, as Slurm counts).

        Returns:
            whether the job is suspended or has ended.
        """
        found, megabytes = self.processes(job), 0.0
        for process in found:
            with suppress(psutil.Error):
                megabytes += process.memory_full_info().pss / 2**20
        if megabytes > 1.2 * job.megabytes:
            for process in found:
                with suppress(psutil.Error):
                    process.suspend()
            return True
        return not any(running.id == job.id and running.state == "RUNNING" for running in self.jobs())

    def _install(self) -> None:
        if all(shutil.which(name) for name in ("munged", "slurmctld", "slurmd", "squeue")):
            return
        if shutil.which("apt-get") is None:
            raise Unavailable("Slurm is not installed, and there is no apt-get")
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(["apt-get", *command], capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise Unavailable(f"apt-get {command[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")

    def _configure(self) -> None:
        for name in ("spool/controller", "spool/node"):
            (FOLDER / name).mkdir(parents=True)
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            second.bind(("127.0.0.1", 0))
            ports = first.getsockname()[1], second.getsockname()[1]
        values = {"host": self.host, "folder": FOLDER, "ports": ports, "cpus": max(8, os.cpu_count() or 1), "gpus": len(GPUS)}
        (FOLDER / "slurm.conf").write_text(CONFIGURATION.format(**values))
        devices = [f"NodeName={self.host} Name=gpu Type=fake File={device}\n" for device in GPUS]
        (FOLDER / "gres.conf").write_text("AutoDetect=off\n" + "".join(devices))
        ETC.mkdir(exist_ok=True)
        for name in FILES:
            (ETC / name).symlink_to(FOLDER / name)

    def _start_munge(self) -> None:
        works = ["sh", "-c", "munge -n | unmunge"]
        if subprocess.run(works, capture_output=True, check=False).returncode == 0:
            return  # munge was running before, and continues to run
        subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
        call("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups", "--", "munged")
        wait_for("munge", lambda: subprocess.run(works, capture_output=True, check=False).returncode == 0, 60)
        wait_for("munge's number", Path("/run/munge/munged.pid").is_file, 60)
        shutil.copy("/run/munge/munged.pid", FOLDER / "munged.pid")

    @staticmethod
    def _ours(path: Path) -> bool:
        return path.is_symlink() and path.readlink() == FOLDER / path.name

    @staticmethod
    def _process(daemon: str) -> psutil.Process | None:
        """This session's daemon by its pid file; None if it has ended, even if another process has its pid now."""
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int((FOLDER / f"{daemon}.pid").read_text()))
            if process.name() == daemon and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def _end(self, daemon: str) -> None:
        if process := self._process(daemon):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except psutil.TimeoutExpired:
                process.kill()
