"""Runs what `@benchmark` marks and tells how it compares: seconds, ratio, peak memory, and how both grow.

A module `benchmarks/bench_<topic>.py` holds functions such as

    @benchmark("token vectors", plain="stack and mean, token by token", goal=10.0)
    def token_vectors(fraction: float) -> Case:
        weights, vectors = ...  # real input, `fraction` of its full size
        return Case(
            plain=lambda: {"rows": ...},
            ours=lambda: {"rows": ...},
            same=lambda plain, ours: f"largest difference {close(plain['rows'], ours['rows'], atol=1e-5):.1e}",
        )

The function is called in a fresh interpreter for each side (plain, ours) of each size (an eighth and the whole), on the same
number of cores. What it does before it returns is not timed, nor does its passing memory count; imports and loading belong
there. Only the call of the chosen side is timed. What takes long to make is made once and kept (`cached`).

- `plain` and `ours` take nothing and return arrays by name, which `same` compares in one more process: it raises
  AssertionError where the results differ, and may return a few words for the table.
- A side that takes less than a second is run five times, and the median counts: each call must do the same work.
- A plain way that would take too long at full size does a share of the work and says so: `Case(plain_share=0.02, ...)`. Its
  seconds are divided by the share, and the table marks them. Its memory is shown as measured.
- What one side alone needs, and would weigh on the other, is made in `before`, which is given the side's name and not timed.
- Without `plain` there is nothing to compare with: `limit` (seconds) and `memory` (GiB) are goals of our side alone.

Peak memory is that of the whole process: interpreter, libraries, input and work.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Side = Callable[[], Arrays]

CACHE = Path(__file__).parent / "cache"
SIZES = (0.125, 1.0)
_SHORT = 1.0
_REPEATS = 5
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")


class BenchmarkFailed(Exception):
    """A side ended with an error, or the results differ; the error itself was printed by its process."""


@dataclass(frozen=True, slots=True)
class Case:
    """Two ways of doing the same on the same input; see the module's docstring."""

    ours: Side
    plain: Side | None = None
    same: Callable[[Arrays, Arrays], str | None] | None = None
    plain_share: float = 1.0
    before: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One row of the table.

    Attributes:
        name: what is measured.
        plain: the plain way in words, empty where there is none.
        goal: ratio to reach, None for no such goal.
        limit: seconds that our side may take at full size, None for no limit.
        memory: GiB that our side may take at full size, None for no limit.
        lighter: share of the plain way's peak memory that our side may take at full size, None for no such goal.
        make: builds the case of a size.
    """

    name: str
    plain: str
    goal: float | None
    limit: float | None
    memory: float | None
    lighter: float | None
    make: Callable[[float], Case]

    @property
    def module(self) -> str:
        """Name of the module that defines it."""
        return self.make.__module__


@dataclass(frozen=True, slots=True)
class Measured:
    """One side at one size: seconds (scaled to all of the work), peak memory in bytes, share of the work really done."""

    seconds: float
    peak: int
    share: float


@dataclass(frozen=True, slots=True)
class Result:
    """A benchmark's measurements at the smaller and the full size; `plain` is empty where there is no plain way."""

    benchmark: Benchmark
    ours: tuple[Measured, ...]
    plain: tuple[Measured, ...]
    note: str

    @property
    def ratio(self) -> float | None:
        """How many times faster than the plain way at full size."""
        return self.plain[-1].seconds / self.ours[-1].seconds if self.plain else None

    @property
    def reached(self) -> bool | None:
        """Whether all goals are met at full size; None without goals."""
        goals = []
        if self.benchmark.goal is not None and self.ratio is not None:
            goals.append(self.ratio >= self.benchmark.goal)
        if self.benchmark.limit is not None:
            goals.append(self.ours[-1].seconds <= self.benchmark.limit)
        if self.benchmark.memory is not None:
            goals.append(self.ours[-1].peak <= self.benchmark.memory * 2**30)
        if self.benchmark.lighter is not None and self.plain:
            goals.append(self.ours[-1].peak <= self.benchmark.lighter * self.plain[-1].peak)
        return all(goals) if goals else None


REGISTRY: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    *,
    plain: str = "",
    goal: float | None = None,
    limit: float | None = None,
    memory: float | None = None,
    lighter: float | None = None,
) -> Callable[[Callable[[float], Case]], Callable[[float], Case]]:
    """Register a function that builds the case of a size (`fraction` of the full one)."""

    def register(make: Callable[[float], Case]) -> Callable[[float], Case]:
        if name in REGISTRY:
            raise ValueError(f"two benchmarks are named {name!r}")
        REGISTRY[name] = Benchmark(name, plain, goal, limit, memory, lighter, make)
        return make

    return register


def collect(modules: list[str] | None = None) -> dict[str, Benchmark]:
    """All benchmarks by name, of the given modules or of `benchmarks/bench_*.py`."""
    found = modules or [f"benchmarks.{path.stem}" for path in sorted(Path(__file__).parent.glob("bench_*.py"))]
    for module in found:
        import_module(module)
    return dict(REGISTRY)


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Path of `benchmarks/cache/<name>`, made by `make` (which writes the path that it is given) where it does not exist.

    It is made in this process: call it before the case is returned. A change of what is made needs another name.
    """
    path = CACHE / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # the ending stays the last part: numpy and others look at it
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        make(temporary)
        temporary.replace(path)
    return path


def close(one: NDArray[Any], other: NDArray[Any], *, rtol: float = 0.0, atol: float = 0.0) -> float:
    """Largest absolute difference; raises AssertionError beyond the tolerances."""
    np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)
    return float(np.max(np.abs(one - other))) if one.size else 0.0


def measure(item: Benchmark, fraction: float, cores: int) -> Result:
    """Measure both sides at an eighth of `fraction` and at `fraction`, every one in a process of its own, and compare.

    Raises:
        BenchmarkFailed: a side ended with an error, or the results differ.
    """
    sides: dict[str, list[Measured]] = {"plain": [], "ours": []}
    notes = [""]
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            for side in sides:
                answer = _child(item, side, size * fraction, Path(folder), cores)
                if answer is not None:
                    sides[side].append(Measured(**answer))
            if sides["plain"]:
                notes.append(str((_child(item, "same", size * fraction, Path(folder), cores) or {}).get("note") or ""))
    return Result(item, tuple(sides["ours"]), tuple(sides["plain"]), notes[-1])


def _child(item: Benchmark, side: str, fraction: float, folder: Path, cores: int) -> dict[str, Any] | None:
    answer = folder / f"{side}.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.harness",
        item.module,
        item.name,
        side,
        repr(fraction),
        str(folder),
        str(cores),
    ]
    quiet = {"TOKENIZERS_PARALLELISM": "true", "TQDM_DISABLE": "1"}
    environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(cores)) | quiet
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], check=False)
    if done.returncode:
        raise BenchmarkFailed(f"benchmark {item.name!r} failed on the side {side!r} at {fraction:g} of its size")
    answered: dict[str, Any] | None = json.loads(answer.read_text(encoding="utf-8"))
    return answered


def _run_child(module: str, name: str, side: str, fraction: str, folder: str, cores: str) -> None:
    """In the child: build the case and run one side of it, or compare what both sides left."""
    # forget the marked functions of this file as `__main__`: modules import it by its name
    from benchmarks import harness

    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    case = harness.collect([module])[name].make(float(fraction))
    answer: dict[str, Any] | None
    if side == "same":
        answer = {"note": case.same(_load(folder, "plain"), _load(folder, "ours")) if case.same else ""}
    else:
        work = case.plain if side == "plain" else case.ours
        if work is not None and case.before is not None:
            case.before(side)
        answer = (
            None if work is None else _timed(work, case.plain_share if side == "plain" else 1.0, Path(folder) / f"{side}.npz")
        )
    Path(folder, f"{side}.json").write_text(json.dumps(answer), encoding="utf-8")


def _timed(work: Side, share: float, result: Path) -> dict[str, Any]:
    forget_peak()
    seconds: list[float] = []
    while not seconds or (seconds[0] < _SHORT and len(seconds) < _REPEATS):
        start = time.perf_counter()
        arrays = work()
        seconds.append(time.perf_counter() - start)
    peak = peak_memory()
    np.savez(result, allow_pickle=False, **arrays)
    return {"seconds": median(seconds) / share, "peak": peak, "share": share}


def _load(folder: str, side: str) -> Arrays:
    with np.load(Path(folder) / f"{side}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def forget_peak() -> None:
    """Let the peak start again from the memory used now, where the system can (Linux: proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Largest resident memory of this process in bytes since its start or the last `forget_peak`.

    Read from /proc where it exists: `ru_maxrss` of a child begins at what its parent used when it was forked.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    _run_child(*sys.argv[1:])
