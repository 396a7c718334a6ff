"""A benchmark small enough for a test: sums of squares, one number at a time and at once."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.harness import Arrays, Case, benchmark, close

NUMBERS = 80_000
SLEEP = 0.4


@benchmark("toy sums", plain="one number at a time", goal=2.0, memory=64.0)
def toy_sums(fraction: float) -> Case:
    values = np.arange(round(NUMBERS * fraction), dtype=np.float64)
    waste = np.ones(50_000_000)  # 0.4 GB that must not count: it is gone before the work begins
    del waste

    def plain() -> Arrays:
        time.sleep(SLEEP * fraction)
        return {"sum": np.array([sum(float(value) ** 2 for value in values[: len(values) // 2])])}

    def ours() -> Arrays:
        held = np.ones(12_500_000)  # 0.1 GB that must count
        return {"sum": np.array([np.sum(values**2) * held[0]])}

    def same(one: Arrays, other: Arrays) -> str:
        half = values[: len(values) // 2]
        close(one["sum"], np.array([np.sum(half**2)]), rtol=1e-12)
        return f"sum {other['sum'][0]:g}"

    return Case(ours, plain, same, plain_share=0.5)


@benchmark("toy without a plain way", limit=1e-9)
def toy_alone(fraction: float) -> Case:
    return Case(lambda: {"values": np.arange(round(NUMBERS * fraction))})


@benchmark("toy that differs", plain="the same")
def toy_that_differs(fraction: float) -> Case:
    def same(one: Arrays, other: Arrays) -> str:
        return f"{close(one['x'], other['x'], atol=0.5)} at {fraction}"

    return Case(lambda: {"x": np.zeros(3)}, lambda: {"x": np.ones(3)}, same)
