"""From a disturbed run to its end, by doing what the messages say and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.ground import Ground, lines_after

ATTEMPTS = 10
LOCKED = "Directory cannot be locked"
# what says enough to go on: an error of lexigraft, the lock, a job that was ended by a signal, a run that was asked to stop
CLEAR = ("what to do: ", LOCKED, "died with <Signals", "Terminating processes on user request", "Will exit after finishing")


@dataclass(frozen=True)
class Outcome:
    """How a moment ended: `survived` by the same command alone, `clear error` if a message had to be followed."""

    kind: Literal["survived", "clear error", "wrong", "skipped"]
    note: str = ""


class Wrong(Exception):
    """A wrong artifact was believed, a finished one lost, or nobody said what to do."""


@dataclass
class Recovery:
    """Runs until all is made, and compares.

    Attributes:
        ground: where.
        wanted: the undisturbed run of the configuration that holds now.
        kept: artifacts that no job has a reason to touch.
        verified: whether every artifact is checked before the run is believed: where bytes were damaged behind its back.
        restore: gives back the room or the permissions that were taken away.
        before_comparing: what else happens before the end.
        deleted: files that were deleted because a message said so.
    """

    ground: Ground
    wanted: Ground
    kept: set[str]
    verified: bool = False
    restore: Callable[[], None] = lambda: None
    before_comparing: Callable[[], None] = lambda: None
    deleted: set[str] = field(default_factory=set)

    def outcome(self) -> Outcome:
        """Run to the end.

        Raises:
            Wrong: it does not end right.
        """
        advice: list[str] = []
        while (text := self._failed()) is not None:
            if len(advice) == ATTEMPTS:
                raise Wrong(f"no end after {ATTEMPTS} attempts: {advice}")
            self.check_kept()
            advice.append(self._follow(text))
        self.before_comparing()
        self.ground.wait_for_the_end()
        # a tagger is made again only where scores need it
        unneeded = {name for name in self.deleted if "/taggers/" in name and not (self.ground.folder / name).exists()}
        if differences := set(self.ground.differences(self.wanted)) - unneeded:
            raise Wrong(f"differ from the undisturbed run: {sorted(differences)}")
        return Outcome("clear error", "; ".join(advice)) if advice else Outcome("survived")

    def check_kept(self) -> None:
        """Check that no finished artifact was touched."""
        if lost := self.ground.differences(self.wanted, self.kept):
            raise Wrong(f"finished artifacts lost: {lost}")

    def _failed(self) -> str | None:
        run = self.ground.snakemake("all")
        if run.code == 0 and self.verified:
            run = self.ground.verify()
        return run.text if run.code else None

    def _follow(self, text: str) -> str:
        if LOCKED in text:
            if self.ground.snakemake("--unlock").code:
                raise Wrong("cannot be unlocked")
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
            files = sorted({name for name in named if (self.ground.folder / name).is_file()})
            if not files:
                raise Wrong(f"no file named to delete:\n{text[-2000:]}")
            for name in files:
                (self.ground.folder / name).unlink()
                self.deleted.add(name)
                self.kept -= self.ground.after(name) if name in self.ground.graph else {name}
            return f"damaged: delete {', '.join(name.rsplit('/', 1)[-1] for name in files)}"
        if "make room" in text:
            self.restore()
            return "full: make room"
        if "readable" in text or "writable" in text:
            self.restore()
            return "no permission: give it back"
        raise Wrong(f"nobody says what to do:\n{text[-3000:]}")


def must_be_clear(text: str) -> None:
    """Check that a run that failed says more than a traceback."""
    if not any(part in text for part in CLEAR):
        raise Wrong(f"no clear message:\n{text[-3000:]}")


def mounted(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


def unmounted(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
