"""Runs moments of the fault suite and prints a table; exits with 1 if one of them went wrong."""

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

from tests.faults.faults import FAULTS, Moment
from tests.faults.ground import Ground, make_reference
from tests.faults.recovering import Outcome, Wrong

KINDS = ("survived", "clear error", "wrong", "skipped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--moments", type=int, default=44, help="how many, shared evenly by the faults (default: 44)")
    parser.add_argument("--seed", type=int, default=1, help="what happens when follows from it (default: 1)")
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), metavar="FAULT", help="only these, by their names' starts")
    parser.add_argument("--jobs", type=int, default=1, help="moments at a time, each of which takes two cores (default: 1)")
    parser.add_argument("--largest", type=int, default=40, help="artifacts that may be missing at the start (default: 40)")
    parser.add_argument("--folder", type=Path, help="where to work and to keep everything (default: a temporary folder)")
    options = parser.parse_args(arguments)
    names = [name for name in FAULTS if any(name.startswith(start) for start in options.faults)]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lexigraft-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    a, b = references(folder)

    def moment(number: int) -> tuple[str, Outcome]:
        name = names[number % len(names)]
        started = time.monotonic()
        chance = random.Random(f"{options.seed}-{number}")
        outcome = one_moment(name, Moment(a, b, folder / f"moment-{number}", chance, options.largest))
        took = f"{time.monotonic() - started:.0f} s"
        print(f"{number + 1}/{options.moments} {name}: {outcome.kind} ({took}) {outcome.note}", flush=True)
        return name, outcome

    found: dict[str, list[Outcome]] = {name: [] for name in names}
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, outcome in pool.map(moment, range(options.moments)):
            found[name].append(outcome)
    print(table(found))
    wrong = any(outcome.kind == "wrong" for outcomes in found.values() for outcome in outcomes)
    if options.folder is None and not wrong:
        shutil.rmtree(folder)
    return int(wrong)


def references(folder: Path) -> tuple[Ground, Ground]:
    """The two undisturbed runs in a folder; those that are there are taken."""
    if not (folder / "finished").exists():
        print("making the undisturbed runs", flush=True)
        make_reference(folder / "a", folder / "b")
        (folder / "finished").touch()
    return Ground(folder / "a"), Ground(folder / "b")


def one_moment(name: str, moment: Moment) -> Outcome:
    """Let one fault happen in a folder, which is removed unless it went wrong."""
    try:
        outcome = FAULTS[name](moment)
    except Wrong as wrong:
        return Outcome("wrong", f"(see {moment.folder}) {wrong}")
    except Exception:  # the other moments go on
        return Outcome("wrong", f"(see {moment.folder}) the suite itself failed:\n{traceback.format_exc()}")
    shutil.rmtree(moment.folder, ignore_errors=True)
    for log in moment.folder.parent.glob(f"{moment.folder.name}-*.log"):
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
