"""The workspace of a trial: a copy of the project with a partial run, and operations on it."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psutil

from tests.checkout import Checkout

CONFIG = "faults.yaml"
EDITS = (("layer: 1", "layer: 2"), ("mask_probability: 0.15", "mask_probability: 0.3"))
"""The differences between configurations A and B."""
_DAC = "-dac_override,-dac_read_search"
BOUND = ("setpriv", f"--bounding-set={_DAC}", f"--inh-caps={_DAC}")
"""A command prefix that removes the capabilities by which root ignores permissions."""
PATIENCE = 900.0
"""Seconds after which a run counts as hanging: twenty times its duration on two busy cores."""
_TAGGED = "".join(
    f"# sent_id = {number}\n"
    + "".join(f"{place}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n" for place, (word, tag) in enumerate(sentence, 1))
    + "\n"
    for number, sentence in enumerate(
        [
            [("In", "ADP"), ("the", "DET"), ("beginning", "NOUN"), ("God", "PROPN"), ("created", "VERB"), ("heaven", "NOUN")],
            [("The", "DET"), ("earth", "NOUN"), ("was", "AUX"), ("empty", "ADJ")],
            [("God", "PROPN"), ("saw", "VERB"), ("the", "DET"), ("light", "NOUN")],
        ]
        * 4
    )
)


@dataclass
class Run:
    """A running Snakemake; `log` is the file with its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> Run:
        """Wait for its end; a run that hangs is killed, with its jobs."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
            return self
        kill([self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))])
        self.process.wait()
        with self.log.open("a") as log:
            log.write("\n(the fault suite ended this run, which was hanging)\n")
        return self

    @property
    def code(self) -> int:
        return self.process.returncode

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass
class Workspace:
    """A folder in which Snakemake runs; `bound` makes permissions apply to root too."""

    folder: Path
    config: str = CONFIG
    bound: bool = False
    runs: list[Run] = field(default_factory=list)

    def start(self, *arguments: str) -> Run:
        """Start Snakemake on two cores, in a user's environment."""
        return self._start(Checkout.command("--cores", "2", *arguments, config=self.config))

    def snakemake(self, *arguments: str) -> Run:
        return self.start(*arguments).wait()

    def verify(self) -> Run:
        """Run the command that checks every artifact."""
        return self._start([sys.executable, "-m", "lexigraft.cli", "verify", "resources", "results"]).wait()

    def _start(self, command: list[str]) -> Run:
        environment = Checkout.environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
        log = self.folder.parent / f"{self.folder.name}-{len(self.runs)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*(BOUND if self.bound else ()), *command],
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self.runs.append(Run(process, log))
        return self.runs[-1]

    def edit(self, *, back: bool = False) -> None:
        """Turn configuration A into B, or back."""
        path = self.folder / self.config
        text = path.read_text(encoding="utf-8")
        for old, new in EDITS:
            old, new = (new, old) if back else (old, new)
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def artifacts(self) -> list[str]:
        """Names of all files of the run, except the one with measured times and temporary second names of tables."""
        found = (path for kind in ("resources", "results") for path in sorted((self.folder / kind).rglob("*")))
        names = (str(path.relative_to(self.folder)) for path in found if path.is_file())
        return [name for name in names if not name.endswith("pretraining_speed.parquet") and "/.previous-" not in name]

    def differences(self, other: Workspace, names: Iterable[str] | None = None) -> list[str]:
        """Names of artifacts that are missing, surplus or different from those in `other`."""
        names = {*self.artifacts(), *other.artifacts()} if names is None else names
        return [name for name in sorted(names) if not same_bytes(self.folder / name, other.folder / name)]

    def stages(self) -> list[psutil.Process]:
        """The processes of all stages that run in this folder, also those of killed runs."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                inside = process.cwd() == str(self.folder.resolve())
                if inside and any(
                    part.startswith(f"{self.folder.resolve()}/.snakemake/scripts/") for part in process.cmdline()
                ):
                    found.append(process)
        return [process for process in found if Path(process.exe()).name.startswith("python")]

    def wait_for_stage(self, run: Run) -> psutil.Process | None:
        """The next stage that runs; None if the run ends before one does."""
        while run.process.poll() is None:
            for process in self.stages():
                return process
            time.sleep(0.05)
        return None

    def wait_for_the_end(self) -> None:
        """Wait until no stage runs in this folder, including those of killed runs."""
        psutil.wait_procs(self.stages(), timeout=PATIENCE)

    @cached_property
    def graph(self) -> dict[str, Job]:
        """Output -> the job that wrote it, from Snakemake's records."""
        jobs: dict[tuple[str, int], Job] = {}
        for path in (self.folder / ".snakemake" / "metadata").rglob("*"):
            if path.is_file():
                record = json.loads(path.read_text(encoding="utf-8"))
                parts = path.relative_to(self.folder / ".snakemake" / "metadata").parts
                name = base64.urlsafe_b64decode("".join(part.removeprefix("@") for part in parts)).decode()
                job = jobs.setdefault((record["rule"], record["job_hash"]), Job(record["rule"], set(record["input"]), set()))
                job.outputs.add(name)
        return {name: job for job in jobs.values() for name in job.outputs}

    def after(self, name: str) -> set[str]:
        """The outputs of the job that writes `name`, and of all jobs that depend on it."""
        made = set(self.graph[name].outputs)
        jobs = {id(job): job for job in self.graph.values()}.values()
        while new := {output for job in jobs if job.inputs & made for output in job.outputs} - made:
            made |= new
        return made


@dataclass
class Job:
    """A job from Snakemake's records."""

    rule: str
    inputs: set[str]
    outputs: set[str]


def make_reference(folder: Path, config_b: Path) -> tuple[Workspace, Workspace]:
    """Two undisturbed runs, of configurations A and B."""
    checkout = Checkout(folder)
    shutil.copy(Path(__file__).parent / CONFIG, folder / CONFIG)
    (folder / "tagged.conllu").write_text(_TAGGED, encoding="utf-8")
    first = Workspace(checkout.folder)
    finish(first)
    shutil.copytree(folder, config_b, symlinks=True)
    second = Workspace(config_b)
    second.edit()
    finish(second)
    return first, second


def finish(workspace: Workspace) -> None:
    """Run to the end without a fault."""
    run = workspace.snakemake("all")
    if run.code:
        raise SystemExit(f"the undisturbed run failed:\n{run.text}")


def copy_of(reference: Workspace, folder: Path, missing: Iterable[str]) -> Workspace:
    """A copy of a finished run, including time stamps, without some artifacts."""
    if folder.exists() and not folder.is_mount():
        shutil.rmtree(folder)
    shutil.copytree(reference.folder, folder, symlinks=True, dirs_exist_ok=True)
    for name in missing:
        (folder / name).unlink()
    return Workspace(folder, config=reference.config)


def some_missing(reference: Workspace, chance: random.Random, wanted: str = "", largest: int = 40) -> set[str]:
    """The missing artifacts of a partial run: the outputs of a random job and of all jobs after it, usually few."""
    most = min(chance.choice([3, 4, 4, 6, 6, 12, 40]), largest)
    names = [name for name in sorted(reference.graph) if wanted in name]
    few = [name for name in names if len(reference.after(name)) <= most]
    return reference.after(chance.choice(few or names))


def same_bytes(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def kill(pids: Iterable[int], number: int = 9) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def lines_after(text: str, start: str) -> Iterator[str]:
    """The rest of each line that begins with `start`."""
    for line in text.splitlines():
        if line.strip().startswith(start):
            yield line.strip().removeprefix(start).strip()
