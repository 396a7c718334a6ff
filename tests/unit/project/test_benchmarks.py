"""The harness of `make bench`: measuring, comparing and printing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.harness import (
    CACHE,
    REGISTRY,
    Benchmark,
    BenchmarkFailed,
    cached,
    close,
    collect,
    forget_peak,
    measure,
    peak_memory,
)
from benchmarks.table import page, row

ROOT = Path(__file__).parents[3]
GIB = 2**30


@pytest.fixture(scope="module")
def toys() -> dict[str, Benchmark]:
    return {name: item for name, item in collect(["tests.unit.toy_bench"]).items() if name.startswith("toy")}


def test_both_sides_are_measured_in_separate_processes_and_compared(toys: dict[str, Benchmark]) -> None:
    from tests.unit.toy_bench import NUMBERS, SLEEP

    held = np.ones(60_000_000)  # 0.5 GB in this process, which must not count for a child process
    result = measure(toys["toy sums"], 0.5, cores=1)
    del held
    assert [item.share for item in result.plain] == [0.5, 0.5]
    # the benchmark sleeps for SLEEP * fraction, on half of the work
    assert result.plain[1].seconds >= SLEEP * 0.5 / 0.5
    assert result.plain[0].seconds >= SLEEP * 0.0625 / 0.5
    assert 0 < result.ours[1].seconds < result.plain[1].seconds
    assert result.ratio == pytest.approx(result.plain[1].seconds / result.ours[1].seconds)
    assert result.note == f"sum {np.sum(np.arange(NUMBERS // 2, dtype=np.float64) ** 2):g}"
    assert result.reached == (result.ratio >= 2)
    if Path("/proc/self/clear_refs").exists():
        assert result.ours[1].peak - result.plain[1].peak > 0.08 * GIB
        assert result.ours[1].peak < 0.35 * GIB
    cells = [cell.strip() for cell in row(result).strip("|").split("|")]
    assert cells[:2] == ["toy sums", "one number at a time"]
    assert cells[2].endswith("* (50.00%)")
    assert cells[5:7] == ["2x, 64 GiB", "yes" if result.reached else "no"]
    text = page([result], 0.5, 1)
    assert "on 1 cores" in text
    assert "0.5 of the full size" in text
    assert "a share of the work was measured and scaled up" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    # a row that is not measured again remains, unless its benchmark is gone
    assert page([], 0.5, 1, ["toy sums"], text) == text
    assert "toy sums" not in page([], 0.5, 1, ["toy"], text)


def test_a_missed_goal_is_reported(toys: dict[str, Benchmark]) -> None:
    result = measure(toys["toy without a plain way"], 1.0, cores=1)
    assert (result.plain, result.ratio, result.reached) == ((), None, False)
    assert re.search(r"\| no \|", row(result))


def test_results_that_differ_abort_the_run(toys: dict[str, Benchmark], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchmarkFailed, match=r"'toy that differs' failed on the side 'same' at 0\.125"):
        measure(toys["toy that differs"], 1.0, cores=1)
    assert "Mismatched elements: 3 / 3" in capfd.readouterr().err


def test_every_module_registers_benchmarks_with_a_goal() -> None:
    modules = sorted(path.stem for path in (ROOT / "benchmarks").glob("bench_*.py"))
    known = collect()
    assert known == REGISTRY
    assert {item.module.rpartition(".")[2] for item in known.values()} >= set(modules)
    for name, item in known.items():
        assert bool(item.plain) or item.limit is not None or item.memory is not None, name
        assert item.goal is None or item.plain, name


def test_input_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.CACHE", tmp_path / "cache")
    made = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("input")

    for _ in range(2):
        assert cached("words.txt", make).read_text() == "input"
    assert len(made) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["words.txt"]
    assert CACHE == ROOT / "benchmarks" / "cache"


def test_close_returns_the_difference_or_raises() -> None:
    assert close(np.array([1.0, 2.0]), np.array([1.0, 2.5]), atol=0.5) == 0.5
    with pytest.raises(AssertionError):
        close(np.array([1.0]), np.array([1.1]), rtol=1e-3)


def test_peak_memory_counts_bytes() -> None:
    forget_peak()
    before = peak_memory()
    block = np.ones(25_000_000)
    assert peak_memory() - before > 0.9 * block.nbytes or before > block.nbytes * 2


def test_the_command_continues_after_a_failure_and_reports_it(
    tmp_path: Path, toys: dict[str, Benchmark], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(toys) == 3
    monkeypatch.setattr("benchmarks.__main__.PAGE", tmp_path / "never.md")
    page = tmp_path / "page.md"
    assert main(["toy that differs", "toy without", "--cores", "1", "--output", str(page)]) == 1
    written = page.read_text()
    assert "| toy without a plain way |" in written
    assert "toy that differs" not in written
    assert "benchmark 'toy that differs' failed" in capfd.readouterr().err
    assert main(["no such name"]) == 1
    assert main(["--list"]) == 0
    assert "toy_bench: toy sums" in capfd.readouterr().out
    assert not (tmp_path / "never.md").exists()
