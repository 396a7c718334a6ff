"""The faults: each lets one thing happen to a run and returns how it ended."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ground import BOUND, Ground, Run, copy_of, kill, some_missing
from tests.faults.recovering import LOCKED, Outcome, Recovery, Wrong, mounted, must_be_clear, unmounted

UNSEALED = ("config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "report.html")
_MIB = 1 << 20


@dataclass
class Moment:
    """What a fault is given: undisturbed runs of two configurations, an empty place, chance, and how much may be missing."""

    a: Ground
    b: Ground
    folder: Path
    chance: random.Random
    largest: int = 40

    def ground(self, wanted: str = "") -> tuple[Ground, set[str]]:
        """A run of configuration A that got so far, and the artifacts that it has finished."""
        missing = some_missing(self.a, self.chance, wanted, self.largest)
        return copy_of(self.a, self.folder, missing), set(self.a.artifacts()) - missing

    def into_a_stage(self, ground: Ground) -> tuple[Run, int | None]:
        """A run that is somewhere in a stage, and that stage's process id; None if it was over before."""
        run = ground.start("all")
        for _ in range(self.chance.choice([1, 1, 2])):
            stage = ground.wait_for_stage(run)
            time.sleep(self.chance.uniform(0, 4))
            if stage is not None and stage.is_running():
                return run, stage.pid
        return run, None


def killed_stage(moment: Moment) -> Outcome:
    """A stage is killed with -9 or asked to end."""
    ground, kept = moment.ground()
    run, stage = moment.into_a_stage(ground)
    kill([stage] if stage else [], moment.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
    if run.wait().code:
        must_be_clear(run.text)
    recovery = Recovery(ground, moment.a, kept)
    recovery.check_kept()
    return recovery.outcome()


def paused_stage(moment: Moment) -> Outcome:
    """A stage is stopped for some seconds and goes on."""
    ground, kept = moment.ground()
    run, stage = moment.into_a_stage(ground)
    kill([stage] if stage else [], signal.SIGSTOP)
    time.sleep(moment.chance.uniform(1, 6))
    kill([stage] if stage else [], signal.SIGCONT)
    if run.wait().code:
        raise Wrong(f"the run did not go on:\n{run.text[-3000:]}")
    return Recovery(ground, moment.a, kept).outcome()


def killed_head(moment: Moment) -> Outcome:
    """The head process is killed with -9, its stages with it or not, and the run is started again at once."""
    ground, kept = moment.ground()
    run, _ = moment.into_a_stage(ground)
    stages = [stage.pid for stage in ground.stages()]
    kill([run.process.pid, *(stages if moment.chance.random() < 0.5 else [])])
    run.wait()
    return Recovery(ground, moment.a, kept).outcome()


def stopped_head(moment: Moment) -> Outcome:
    """The head process is asked to end, as by Ctrl-C or a scheduler."""
    ground, kept = moment.ground()
    run, _ = moment.into_a_stage(ground)
    kill([run.process.pid], moment.chance.choice([signal.SIGINT, signal.SIGTERM]))
    if run.wait().code:
        must_be_clear(run.text)
    recovery = Recovery(ground, moment.a, kept)
    recovery.check_kept()
    return recovery.outcome()


def killed_after_change(moment: Moment) -> Outcome:
    """The configuration is changed, and a stage of the new run is killed: what stands from the old one must not be believed."""
    ground = copy_of(moment.a, moment.folder, ())
    ground.edit()
    run, stage = moment.into_a_stage(ground)
    kill([stage] if stage else [], moment.chance.choice([signal.SIGKILL, signal.SIGTERM]))
    if run.wait().code:
        must_be_clear(run.text)
    return Recovery(ground, moment.b, set()).outcome()


def late_writer(moment: Moment) -> Outcome:
    """The head is killed, the configuration changed, the run made anew; then a stage of the old run wakes up and writes."""
    ground, _ = moment.ground("/ranks/")
    for name in ground.artifacts():
        if "/ranks/" in name:
            (ground.folder / name).unlink()
    run, stage = moment.into_a_stage(ground)
    left = [stage] if stage else []
    kill(left, signal.SIGSTOP)
    kill([run.process.pid])
    run.wait()
    ground.edit()
    return Recovery(ground, moment.b, set(), before_comparing=lambda: kill(left, signal.SIGCONT)).outcome()


def full_disk(moment: Moment) -> Outcome:
    """The disk has room for a little more only."""
    if os.geteuid() != 0:
        return Outcome("skipped", "a small file system can be mounted by root only")
    moment.folder.mkdir(exist_ok=True)
    mounted("-t", "tmpfs", "-o", "size=8g", "tmpfs", str(moment.folder))
    try:
        ground, kept = moment.ground()
        used = shutil.disk_usage(moment.folder).used
        room = moment.chance.choice([0, 20 * _MIB, *(place * _MIB for place in range(101, 180, 8))])
        mounted("-o", f"remount,size={used + room}", str(moment.folder))
        recovery = Recovery(ground, moment.a, kept, restore=lambda: mounted("-o", "remount,size=8g", str(moment.folder)))
        return recovery.outcome()
    finally:
        for stage in ground.stages():
            stage.kill()
        unmounted(moment.folder)


def revoked_permissions(moment: Moment) -> Outcome:
    """A folder can no longer be written, or an artifact no longer be read."""
    if os.geteuid() == 0 and shutil.which(BOUND[0]) is None:
        return Outcome("skipped", "root passes over permissions, and there is no setpriv")
    ground, kept = moment.ground()
    ground.bound = os.geteuid() == 0
    missing = sorted(set(moment.a.artifacts()) - kept)
    kind = moment.chance.choice(["output folder", "input", "log folder", "records"])
    name = moment.chance.choice(missing)
    job = moment.a.graph[name]
    inputs = sorted(job.inputs & kept)
    place = {
        "output folder": (ground.folder / name).parent,
        "input": ground.folder / moment.chance.choice(inputs) if inputs else (ground.folder / name).parent,
        "log folder": ground.folder / "logs",
        "records": ground.folder / ".snakemake",
    }[kind]
    places = [place, *(path for path in place.rglob("*") if path.is_dir())]
    modes = {path: path.stat().st_mode for path in places}
    for path in places:
        path.chmod(0o000 if path.is_file() else 0o555)

    def restore() -> None:
        for path, mode in modes.items():
            path.chmod(mode)

    try:
        outcome = Recovery(ground, moment.a, kept, restore=restore).outcome()
    finally:
        restore()
    return Outcome(outcome.kind, f"{kind}: {outcome.note}")


def damaged_sealed(moment: Moment) -> Outcome:
    """A table, tensors or packed text is cut short, or a byte of it flipped."""
    return _damaged(moment, lambda name: not name.endswith(UNSEALED))


def damaged_unsealed(moment: Moment) -> Outcome:
    """The same with a file that other software reads as it is, or the report."""
    return _damaged(moment, lambda name: name.endswith(UNSEALED))


def _damaged(moment: Moment, kind: Callable[[str], bool]) -> Outcome:
    ground, kept = moment.ground()
    jobs = [moment.a.graph[name] for name in sorted(set(moment.a.artifacts()) - kept)]
    read = sorted({name for job in jobs for name in job.inputs & kept if kind(name)})
    anywhere = sorted(filter(kind, kept))
    name = moment.chance.choice(read if read and moment.chance.random() < 0.7 else anywhere or read)
    path = ground.folder / name
    before, content = path.stat(), bytearray(path.read_bytes())
    if moment.chance.random() < 0.4:
        content = content[: moment.chance.randrange(len(content))]
    else:
        content[moment.chance.randrange(len(content))] ^= 1 << moment.chance.randrange(8)
    path.write_bytes(content)
    if moment.chance.random() < 0.5:  # as a failing disk does it
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    outcome = Recovery(ground, moment.a, kept - {name}, verified=True).outcome()
    if outcome.kind == "survived":
        raise Wrong(f"{name} was damaged and nobody said so")
    return outcome


def changed_config(moment: Moment) -> Outcome:
    """The configuration is changed while jobs wait; then it is run, and sometimes the old one again."""
    ground, _ = moment.ground()
    run, _ = moment.into_a_stage(ground)
    ground.edit()
    if run.wait().code:
        must_be_clear(run.text)
    outcome = Recovery(ground, moment.b, set()).outcome()
    if moment.chance.random() < 0.3:
        ground.edit(back=True)
        outcome = Recovery(ground, moment.a, set()).outcome()
    return outcome


def second_snakemake(moment: Moment) -> Outcome:
    """A second Snakemake is started in the same folder, sometimes told to mind no locks."""
    ground, kept = moment.ground()
    first, _ = moment.into_a_stage(ground)
    nolock = moment.chance.random() < 0.4
    second = ground.snakemake("all", *(["--nolock"] if nolock else []))
    # the first one ends while the second is planning, and removes the folder of the locks: said in docs/faults.md
    raced = "FileNotFoundError" in second.text and ".snakemake/locks/" in second.text and first.process.poll() is not None
    if not nolock and second.code and not raced and LOCKED not in second.text:
        raise Wrong(f"the second run failed without saying why:\n{second.text[-3000:]}")
    if first.wait().code and not nolock:
        raise Wrong(f"the first run was disturbed:\n{first.text[-3000:]}")
    recovery = Recovery(ground, moment.a, kept)
    recovery.check_kept()
    outcome = recovery.outcome()
    told = second.code != 0 or first.code != 0
    return Outcome("clear error", "; ".join(filter(None, ["locked", outcome.note]))) if told else outcome


FAULTS: dict[str, Callable[[Moment], Outcome]] = {
    "stage killed (-9, TERM)": killed_stage,
    "stage stopped and continued": paused_stage,
    "head killed (-9)": killed_head,
    "head stopped (INT, TERM)": stopped_head,
    "stage killed after the configuration was changed": killed_after_change,
    "late writer after head killed and configuration changed": late_writer,
    "disk full": full_disk,
    "permissions revoked": revoked_permissions,
    "sealed artifact cut short or a bit flipped": damaged_sealed,
    "unsealed file cut short or a bit flipped": damaged_unsealed,
    "configuration changed while jobs wait": changed_config,
    "second Snakemake in the folder": second_snakemake,
}
