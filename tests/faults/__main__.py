"""Runs trials of the fault suite and prints a table; exits with 1 if the outcome of one is wrong."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.faults import FAULTS, Trial
from tests.faults.recovering import Outcome, WrongOutcome
from tests.faults.workspace import Workspace, make_reference

KINDS = ("survived", "clear error", "wrong", "skipped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite with command-line arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--trials", type=int, default=44, help="number of trials, distributed over the faults (default: 44)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: 1)")
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), metavar="FAULT", help="only faults whose names start so")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel trials, two cores each (default: 1)")
    parser.add_argument(
        "--largest", type=int, default=40, help="maximum number of missing artifacts at the start (default: 40)"
    )
    parser.add_argument("--folder", type=Path, help="working folder, which is not deleted (default: a temporary folder)")
    options = parser.parse_args(arguments)
    names = [name for name in FAULTS if any(name.startswith(start) for start in options.faults)]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lexigraft-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    a, b = references(folder)

    def trial(number: int) -> tuple[str, Outcome]:
        name = names[number % len(names)]
        started = time.monotonic()
        chance = random.Random(f"{options.seed}-{number}")
        outcome = one_trial(name, Trial(a, b, folder / f"trial-{number}", chance, options.largest))
        took = f"{time.monotonic() - started:.0f} s"
        print(f"{number + 1}/{options.trials} {name}: {outcome.kind} ({took}) {outcome.note}", flush=True)
        return name, outcome

    found: dict[str, list[Outcome]] = {name: [] for name in names}
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, outcome in pool.map(trial, range(options.trials)):
            found[name].append(outcome)
    print(table(found))
    wrong = any(outcome.kind == "wrong" for outcomes in found.values() for outcome in outcomes)
    if options.folder is None and not wrong:
        shutil.rmtree(folder)
    return int(wrong)


def references(folder: Path) -> tuple[Workspace, Workspace]:
    """The two undisturbed runs in a folder; existing ones are used."""
    if not (folder / "finished").exists():
        print("running the undisturbed runs", flush=True)
        make_reference(folder / "a", folder / "b")
        (folder / "finished").touch()
    return Workspace(folder / "a"), Workspace(folder / "b")


def one_trial(name: str, trial: Trial) -> Outcome:
    """Run one trial in its folder, which is removed unless the outcome is wrong."""
    try:
        outcome = FAULTS[name](trial)
    except WrongOutcome as wrong:
        return Outcome("wrong", f"(see {trial.folder}) {wrong}")
    except Exception:  # the other trials continue
        return Outcome("wrong", f"(see {trial.folder}) the suite itself failed:\n{traceback.format_exc()}")
    shutil.rmtree(trial.folder, ignore_errors=True)
    for log in trial.folder.parent.glob(f"{trial.folder.name}-*.log"):
        log.unlink()
    return outcome


def table(found: dict[str, list[Outcome]]) -> str:
    """The outcomes by fault, as a Markdown table."""
    lines = ["| fault | tried | survived | clear error, then right | wrong |", "| --- | ---: | ---: | ---: | ---: |"]
    total: Counter[str] = Counter()
    for name, outcomes in found.items():
        counts = Counter(outcome.kind for outcome in outcomes)
        total += counts
        tried = len(outcomes) - counts["skipped"]
        lines.append(f"| {name} | {tried or 'skipped'} | " + " | ".join(str(counts[kind]) for kind in KINDS[:3]) + " |")
    tried = sum(total[kind] for kind in KINDS[:3])
    lines.append(f"| **all** | {tried} | " + " | ".join(str(total[kind]) for kind in KINDS[:3]) + " |")
    notes = {outcome.note for outcomes in found.values() for outcome in outcomes if outcome.kind == "skipped"}
    return "\n".join([*lines, *(f"\nskipped: {note}" for note in sorted(notes))])


if __name__ == "__main__":
    sys.exit(main())
