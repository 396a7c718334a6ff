"""The faults: each function disturbs a run in one way and returns the outcome."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.recovering import LOCKED, Outcome, Recovery, WrongOutcome, mounted, must_be_clear, unmounted
from tests.faults.workspace import BOUND, Run, Workspace, copy_of, kill, some_missing

UNSEALED = ("config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "report.html")
_MIB = 1 << 20


@dataclass
class Trial:
    """What a fault uses: undisturbed runs of two configurations, an empty folder, random choices, and the largest gap."""

    a: Workspace
    b: Workspace
    folder: Path
    chance: random.Random
    largest: int = 40

    def workspace(self, wanted: str = "") -> tuple[Workspace, set[str]]:
        """A partial run of configuration A, and the artifacts that it has finished."""
        missing = some_missing(self.a, self.chance, wanted, self.largest)
        return copy_of(self.a, self.folder, missing), set(self.a.artifacts()) - missing

    def into_a_stage(self, workspace: Workspace) -> tuple[Run, int | None]:
        """A run that is in the middle of a stage, and that stage's process id; None if the run has ended before."""
        run = workspace.start("all")
        for _ in range(self.chance.choice([1, 1, 2])):
            stage = workspace.wait_for_stage(run)
            time.sleep(self.chance.uniform(0, 4))
            if stage is not None and stage.is_running():
                return run, stage.pid
        return run, None


def killed_stage(trial: Trial) -> Outcome:
    """A stage is killed (SIGKILL) or terminated (SIGTERM)."""
    workspace, untouched = trial.workspace()
    run, stage = trial.into_a_stage(workspace)
    kill([stage] if stage else [], trial.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
    if run.wait().code:
        must_be_clear(run.text)
    recovery = Recovery(workspace, trial.a, untouched)
    recovery.check_untouched()
    return recovery.outcome()


def paused_stage(trial: Trial) -> Outcome:
    """A stage is stopped for some seconds and then continues."""
    workspace, untouched = trial.workspace()
    run, stage = trial.into_a_stage(workspace)
    kill([stage] if stage else [], signal.SIGSTOP)
    time.sleep(trial.chance.uniform(1, 6))
    kill([stage] if stage else [], signal.SIGCONT)
    if run.wait().code:
        raise WrongOutcome(f"the run did not continue:\n{run.text[-3000:]}")
    return Recovery(workspace, trial.a, untouched).outcome()


def killed_head(trial: Trial) -> Outcome:
    """The head process is killed (SIGKILL), with or without its stages, and the run is started again at once."""
    workspace, untouched = trial.workspace()
    run, _ = trial.into_a_stage(workspace)
    stages = [stage.pid for stage in workspace.stages()]
    kill([run.process.pid, *(stages if trial.chance.random() < 0.5 else [])])
    run.wait()
    return Recovery(workspace, trial.a, untouched).outcome()


def stopped_head(trial: Trial) -> Outcome:
    """The head process is interrupted or terminated, as by Ctrl-C or a scheduler."""
    workspace, untouched = trial.workspace()
    run, _ = trial.into_a_stage(workspace)
    kill([run.process.pid], trial.chance.choice([signal.SIGINT, signal.SIGTERM]))
    if run.wait().code:
        must_be_clear(run.text)
    recovery = Recovery(workspace, trial.a, untouched)
    recovery.check_untouched()
    return recovery.outcome()


def killed_after_change(trial: Trial) -> Outcome:
    """The configuration is changed, and a stage of the new run is killed: old outputs must not be taken for new ones."""
    workspace = copy_of(trial.a, trial.folder, ())
    workspace.edit()
    run, stage = trial.into_a_stage(workspace)
    kill([stage] if stage else [], trial.chance.choice([signal.SIGKILL, signal.SIGTERM]))
    if run.wait().code:
        must_be_clear(run.text)
    return Recovery(workspace, trial.b, set()).outcome()


def late_writer(trial: Trial) -> Outcome:
    """The head is killed, the configuration changed, the run repeated; then a stopped stage of the old run continues."""
    workspace, _ = trial.workspace("/ranks/")
    for name in workspace.artifacts():
        if "/ranks/" in name:
            (workspace.folder / name).unlink()
    run, stage = trial.into_a_stage(workspace)
    stopped = [stage] if stage else []
    kill(stopped, signal.SIGSTOP)
    kill([run.process.pid])
    run.wait()
    workspace.edit()
    return Recovery(workspace, trial.b, set(), before_comparing=lambda: kill(stopped, signal.SIGCONT)).outcome()


def full_disk(trial: Trial) -> Outcome:
    """The disk has only little free space."""
    if os.geteuid() != 0:
        return Outcome("skipped", "only root can mount a small file system")
    trial.folder.mkdir(exist_ok=True)
    mounted("-t", "tmpfs", "-o", "size=8g", "tmpfs", str(trial.folder))
    try:
        workspace, untouched = trial.workspace()
        used = shutil.disk_usage(trial.folder).used
        room = trial.chance.choice([0, 20 * _MIB, *(place * _MIB for place in range(101, 180, 8))])
        mounted("-o", f"remount,size={used + room}", str(trial.folder))
        recovery = Recovery(workspace, trial.a, untouched, restore=lambda: mounted("-o", "remount,size=8g", str(trial.folder)))
        return recovery.outcome()
    finally:
        for stage in workspace.stages():
            stage.kill()
        unmounted(trial.folder)


def revoked_permissions(trial: Trial) -> Outcome:
    """A folder is no longer writable, or an artifact no longer readable."""
    if os.geteuid() == 0 and shutil.which(BOUND[0]) is None:
        return Outcome("skipped", "root ignores permissions, and setpriv is not installed")
    workspace, untouched = trial.workspace()
    workspace.bound = os.geteuid() == 0
    missing = sorted(set(trial.a.artifacts()) - untouched)
    kind = trial.chance.choice(["output folder", "input", "log folder", "records"])
    name = trial.chance.choice(missing)
    job = trial.a.graph[name]
    inputs = sorted(job.inputs & untouched)
    place = {
        "output folder": (workspace.folder / name).parent,
        "input": workspace.folder / trial.chance.choice(inputs) if inputs else (workspace.folder / name).parent,
        "log folder": workspace.folder / "logs",
        "records": workspace.folder / ".snakemake",
    }[kind]
    places = [place, *(path for path in place.rglob("*") if path.is_dir())]
    modes = {path: path.stat().st_mode for path in places}
    for path in places:
        path.chmod(0o000 if path.is_file() else 0o555)

    def restore() -> None:
        for path, mode in modes.items():
            path.chmod(mode)

    try:
        outcome = Recovery(workspace, trial.a, untouched, restore=restore).outcome()
    finally:
        restore()
    return Outcome(outcome.kind, f"{kind}: {outcome.note}")


def damaged_sealed(trial: Trial) -> Outcome:
    """A table, tensors or packed text is truncated, or one of its bits is flipped."""
    return _damaged(trial, lambda name: not name.endswith(UNSEALED))


def damaged_unsealed(trial: Trial) -> Outcome:
    """The same for a file without a seal, which other software reads, or for the report."""
    return _damaged(trial, lambda name: name.endswith(UNSEALED))


def _damaged(trial: Trial, kind: Callable[[str], bool]) -> Outcome:
    workspace, untouched = trial.workspace()
    jobs = [trial.a.graph[name] for name in sorted(set(trial.a.artifacts()) - untouched)]
    read = sorted({name for job in jobs for name in job.inputs & untouched if kind(name)})
    anywhere = sorted(filter(kind, untouched))
    name = trial.chance.choice(read if read and trial.chance.random() < 0.7 else anywhere or read)
    path = workspace.folder / name
    before, content = path.stat(), bytearray(path.read_bytes())
    if trial.chance.random() < 0.4:
        content = content[: trial.chance.randrange(len(content))]
    else:
        content[trial.chance.randrange(len(content))] ^= 1 << trial.chance.randrange(8)
    path.write_bytes(content)
    if trial.chance.random() < 0.5:  # a failing disk changes no time stamp
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    outcome = Recovery(workspace, trial.a, untouched - {name}, verified=True).outcome()
    if outcome.kind == "survived":
        raise WrongOutcome(f"{name} was damaged without an error message")
    return outcome


def changed_config(trial: Trial) -> Outcome:
    """The configuration is changed while jobs wait; then the new one is run, and sometimes the old one again."""
    workspace, _ = trial.workspace()
    run, _ = trial.into_a_stage(workspace)
    workspace.edit()
    if run.wait().code:
        must_be_clear(run.text)
    outcome = Recovery(workspace, trial.b, set()).outcome()
    if trial.chance.random() < 0.3:
        workspace.edit(back=True)
        outcome = Recovery(workspace, trial.a, set()).outcome()
    return outcome


def second_snakemake(trial: Trial) -> Outcome:
    """A second Snakemake is started in the same folder, sometimes with `--nolock`."""
    workspace, untouched = trial.workspace()
    first, _ = trial.into_a_stage(workspace)
    nolock = trial.chance.random() < 0.4
    second = workspace.snakemake("all", *(["--nolock"] if nolock else []))
    # the first run ends while the second is planning, and removes the folder of the locks: see docs/faults.md
    raced = "FileNotFoundError" in second.text and ".snakemake/locks/" in second.text and first.process.poll() is not None
    if not nolock and second.code and not raced and LOCKED not in second.text:
        raise WrongOutcome(f"the second run failed without a reason:\n{second.text[-3000:]}")
    if first.wait().code and not nolock:
        raise WrongOutcome(f"the first run was disturbed:\n{first.text[-3000:]}")
    recovery = Recovery(workspace, trial.a, untouched)
    recovery.check_untouched()
    outcome = recovery.outcome()
    failed = second.code != 0 or first.code != 0
    return Outcome("clear error", "; ".join(filter(None, ["locked", outcome.note]))) if failed else outcome


FAULTS: dict[str, Callable[[Trial], Outcome]] = {
    "stage killed (-9, TERM)": killed_stage,
    "stage stopped and continued": paused_stage,
    "head killed (-9)": killed_head,
    "head stopped (INT, TERM)": stopped_head,
    "stage killed after the configuration was changed": killed_after_change,
    "late writer after head killed and configuration changed": late_writer,
    "disk full": full_disk,
    "permissions revoked": revoked_permissions,
    "sealed artifact truncated or a bit flipped": damaged_sealed,
    "unsealed file truncated or a bit flipped": damaged_unsealed,
    "configuration changed while jobs wait": changed_config,
    "second Snakemake in the folder": second_snakemake,
}
