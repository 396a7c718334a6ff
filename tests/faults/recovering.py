"""Recovery of a disturbed run by following its error messages, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.workspace import Workspace, lines_after

ATTEMPTS = 10
LOCKED = "Directory cannot be locked"
# messages that are sufficient: an error of lexigraft, the lock, a job ended by a signal, an interrupted run
CLEAR = ("what to do: ", LOCKED, "died with <Signals", "Terminating processes on user request", "Will exit after finishing")


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: `survived` if the same command was enough, `clear error` if a message had to be followed."""

    kind: Literal["survived", "clear error", "wrong", "skipped"]
    note: str = ""


class WrongOutcome(Exception):
    """A wrong artifact was accepted, a finished one was lost, or no message said what to do."""


@dataclass
class Recovery:
    """Runs until everything is made, and compares.

    Attributes:
        workspace: the workspace of the trial.
        wanted: the undisturbed run of the current configuration.
        untouched: artifacts that no job has a reason to change.
        verified: whether every artifact is verified before the run counts as successful: needed where bytes were damaged.
        restore: restores the disk space or the permissions that were taken away.
        before_comparing: called before the comparison.
        deleted: files that were deleted because a message asked for it.
    """

    workspace: Workspace
    wanted: Workspace
    untouched: set[str]
    verified: bool = False
    restore: Callable[[], None] = lambda: None
    before_comparing: Callable[[], None] = lambda: None
    deleted: set[str] = field(default_factory=set)

    def outcome(self) -> Outcome:
        """Run to the end.

        Raises:
            WrongOutcome: the run does not end correctly.
        """
        advice: list[str] = []
        while (text := self._failed()) is not None:
            if len(advice) == ATTEMPTS:
                raise WrongOutcome(f"not finished after {ATTEMPTS} attempts: {advice}")
            self.check_untouched()
            advice.append(self._follow(text))
        self.before_comparing()
        self.workspace.wait_for_the_end()
        # a tagger is made again only if scores need it
        unneeded = {name for name in self.deleted if "/taggers/" in name and not (self.workspace.folder / name).exists()}
        if differences := set(self.workspace.differences(self.wanted)) - unneeded:
            raise WrongOutcome(f"differ from the undisturbed run: {sorted(differences)}")
        return Outcome("clear error", "; ".join(advice)) if advice else Outcome("survived")

    def check_untouched(self) -> None:
        """Check that no untouched artifact has changed."""
        if lost := self.workspace.differences(self.wanted, self.untouched):
            raise WrongOutcome(f"finished artifacts lost: {lost}")

    def _failed(self) -> str | None:
        run = self.workspace.snakemake("all")
        if run.code == 0 and self.verified:
            run = self.workspace.verify()
        return run.text if run.code else None

    def _follow(self, text: str) -> str:
        if LOCKED in text:
            if self.workspace.snakemake("--unlock").code:
                raise WrongOutcome("cannot be unlocked")
            return "locked: unlock"
        if "delete the file" in text or "delete these files" in text:
            named = [
                *lines_after(text, "where: "),
                *(
                    line.split(": ")[0].strip()
                    for line in text.splitlines()
                    if ": artifact " in line or ": was altered" in line
                ),
            ]
            files = sorted({name for name in named if (self.workspace.folder / name).is_file()})
            if not files:
                raise WrongOutcome(f"no file named to delete:\n{text[-2000:]}")
            for name in files:
                (self.workspace.folder / name).unlink()
                self.deleted.add(name)
                self.untouched -= self.workspace.after(name) if name in self.workspace.graph else {name}
            return f"damaged: delete {', '.join(name.rsplit('/', 1)[-1] for name in files)}"
        if "make room" in text:
            self.restore()
            return "full: make room"
        if "readable" in text or "writable" in text:
            self.restore()
            return "no permission: restore it"
        raise WrongOutcome(f"no message says what to do:\n{text[-3000:]}")


def must_be_clear(text: str) -> None:
    """Check that a failed run prints more than a traceback."""
    if not any(part in text for part in CLEAR):
        raise WrongOutcome(f"no clear message:\n{text[-3000:]}")


def mounted(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


def unmounted(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
