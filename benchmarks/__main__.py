"""`python -m benchmarks [NAME ...]`: run benchmarks, print their table and write their rows to docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.harness import BenchmarkFailed, collect, measure
from benchmarks.table import page, row

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks whose names contain one of those given, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names, or of the modules' names; all by default")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the full size (default 1)")
    parser.add_argument("--cores", type=int, default=2, help="for either side (default 2)")
    parser.add_argument("--output", type=Path, help="page to update (docs/benchmarks.md at full size)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    given = parser.parse_args(arguments)
    known = collect()
    chosen = [item for item in known.values() if _wanted(item.name, item.module, given.names)]
    if given.list or not chosen:
        print("\n".join(f"{item.module.rpartition('.')[2]}: {item.name}" for item in known.values()))
        return 0 if given.list else 1
    results, failed = [], []
    for item in chosen:
        print(f"lexigraft: measuring {item.name}", file=sys.stderr, flush=True)
        try:
            results.append(measure(item, given.fraction, given.cores))
        except BenchmarkFailed as error:
            failed.append(str(error))
            print(f"lexigraft: {error}", file=sys.stderr, flush=True)
        else:
            print(row(results[-1]), file=sys.stderr, flush=True)
    output = given.output or (PAGE if given.fraction == 1 else None)
    earlier = output.read_text(encoding="utf-8") if output is not None and output.exists() else ""
    text = page(results, given.fraction, given.cores, list(known), earlier)
    print(text)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    for problem in failed:
        print(f"lexigraft: {problem}", file=sys.stderr)
    return 1 if failed else 0


def _wanted(name: str, module: str, names: list[str]) -> bool:
    return not names or any(part in name or part in module for part in names)


if __name__ == "__main__":
    sys.exit(main())
