"""The results as a Markdown page."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence

from benchmarks.harness import Measured, Result

_HEAD = (
    "what",
    "plain way",
    "plain, s",
    "ours, s",
    "ratio",
    "goal",
    "reached",
    "plain, peak GiB",
    "ours, peak GiB",
    "growth of time, plain / ours",
    "growth of memory, plain / ours",
    "compared",
)


def page(results: Iterable[Result], fraction: float, cores: int, order: Sequence[str] = (), earlier: str = "") -> str:
    """A page with one table: one row per benchmark.

    Args:
        order: names of all benchmarks.
        earlier: the page so far; its rows of benchmarks in `order` that are not among the results remain.
    """
    names = set(order)
    rows = {name: line for line in earlier.splitlines() if (name := line.removeprefix("| ").partition(" |")[0]) in names}
    rows |= {result.benchmark.name: row(result) for result in results}
    lines = [rows[name] for name in dict.fromkeys([*order, *rows]) if name in rows]
    size = "the full size" if fraction == 1 else f"{fraction:g} of the full size"
    head = [
        "# Benchmarks",
        "",
        f"Made by `make bench` on {cores} cores ({processor()}, Python {platform.python_version()}) at {size}. Each side ran "
        "in a process of its own on the same input; peak memory is that of the whole process. Growth is from an eighth of the "
        "size to all of it: 8 is linear.",
        "",
        f"| {' | '.join(_HEAD)} |",
        f"|{' --- |' * len(_HEAD)}",
    ]
    foot = ["", "\\* a share of the work was measured and scaled up."] if any("* (" in line for line in lines) else []
    return "\n".join([*head, *lines, *foot]) + "\n"


def row(result: Result) -> str:
    """One result as a row of the table."""
    item = result.benchmark
    plain, ours = result.plain, result.ours
    goals = [f"{item.goal:.3g}x"] if item.goal is not None else []
    goals += [f"{item.limit:g} s"] if item.limit is not None else []
    goals += [f"{item.memory:g} GiB"] if item.memory is not None else []
    goals += [f"{item.lighter:g}x of the memory"] if item.lighter is not None else []
    mark = f"* ({plain[-1].share:.2%})" if plain and plain[-1].share < 1 else ""
    cells = [
        item.name,
        item.plain or "–",
        (_seconds(plain[-1].seconds) + mark) if plain else "–",
        _seconds(ours[-1].seconds),
        f"{result.ratio:.{1 if result.ratio >= 1 else 2}f}x" if result.ratio is not None else "–",
        ", ".join(goals) or "–",
        {True: "yes", False: "no", None: "–"}[result.reached],
        _gib(plain[-1]) if plain else "–",
        _gib(ours[-1]),
        f"{_time_growth(plain)} / {_time_growth(ours)}",
        f"{_memory_growth(plain)} / {_memory_growth(ours)}",
        result.note or "–",
    ]
    return f"| {' | '.join(cells)} |"


def processor() -> str:
    """Kind of the processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a pseudo-file
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} in the machine"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _gib(item: Measured) -> str:
    return f"{item.peak / 2**30:.2f}"


def _time_growth(items: tuple[Measured, ...]) -> str:
    return f"{items[-1].seconds / items[0].seconds:.1f}" if items else "–"


def _memory_growth(items: tuple[Measured, ...]) -> str:
    return f"{items[-1].peak / items[0].peak:.1f}" if items else "–"
