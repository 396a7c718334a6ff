"""The report of a large run: 500 languages, 18 models, 4 tasks, 2 steps, with made-up scores in the right shape."""

from __future__ import annotations

import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import polars as pl

from benchmarks.harness import Arrays, Case, benchmark
from lexigraft.artifacts import Provenance, write_table
from lexigraft.evaluation.comparing import COMPARISONS
from lexigraft.evaluation.intervals import INTERVALS
from lexigraft.evaluation.scores import MEAN, SCHEMA
from lexigraft.languages import languages
from lexigraft.report.inputs import ReportInputs

LANGUAGES, STEPS = 500, (0, 4000)
TASKS = {"sr_b": "top_10", "sr_t": "top_10", "ner": "f1", "pos": "f1"}
METHODS, SOURCES, DIMS = ("random", "ofa", "hyperofa"), ("mono", "multi"), ("100", "200", "400")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LARGEST = 10_000_000
"""Bytes that the page may have."""


@benchmark(f"report of {LANGUAGES} languages x 18 models x 4 tasks x 2 steps", limit=30.0)
def report(fraction: float) -> Case:
    inputs = made_up_run(Path(mkdtemp()), round(LANGUAGES * fraction))

    def ours() -> Arrays:
        from lexigraft.report.page import write_report

        out = inputs.scores.with_name("report.html")
        write_report(inputs, out)
        size = out.stat().st_size
        assert size < LARGEST, f"the page has {size:,} bytes"
        return {"bytes": np.array([size])}

    return Case(ours)


if CHROMIUM is not None:

    @benchmark("opening that report in headless Chromium", limit=3.0)
    def opening(fraction: float) -> Case:
        from lexigraft.report.page import write_report

        folder = Path(mkdtemp())
        write_report(made_up_run(folder, round(LANGUAGES * fraction)), folder / "report.html")

        def ours() -> Arrays:
            """From the start of the browser to the page as it stands then."""
            command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
            options = ["--no-first-run", "--disable-background-networking", "--dump-dom"]
            done = subprocess.run(
                [*command, *options, (folder / "report.html").as_uri()], capture_output=True, timeout=120, check=True
            )
            return {"rows": np.array([done.stdout.count(b"<tr")])}

        return Case(ours)


def made_up_run(folder: Path, count: int) -> ReportInputs:
    """Scores, intervals and comparisons of the paper's models in so many languages, as the workflow writes them."""
    generator = np.random.default_rng(0)
    codes = list(languages())[:count]
    codes += [f"q{chr(97 + place // 26)}{chr(97 + place % 26)}_Latn" for place in range(count - len(codes))]
    names = {f"{m}-{s}-{d}": (m, s, d) for m in METHODS for s in SOURCES for d in DIMS}
    rows, scores, intervals = [], [], []
    for task, metric in TASKS.items():
        for model, (method, source, dim) in names.items():
            for step in STEPS:
                about = {"run": "large", "model": model, "method": method, "source": source, "target": "t", "dim": dim}
                rows.append({**about, "seed": 42, "step": step, "task": task})
                found = generator.uniform(0, 100, size=count)
                same = [pl.lit(value, dtype=SCHEMA[key]).alias(key) for key, value in rows[-1].items()]
                one = pl.DataFrame({"language": codes, "metric": metric, "score": found, "n": 500, "unit": "sentences"})
                one = one.with_columns(headline=True, lower_is_better=False)
                scores.append(one.with_columns(same).select(pl.col(key).cast(kind) for key, kind in SCHEMA.items()))
                ends = pl.DataFrame({"language": [MEAN, *codes], "score": np.append(found.mean(), found)})
                intervals.append(
                    ends.with_columns(
                        *same,
                        pl.lit(metric).alias("metric"),
                        pl.lit(0).alias("seeds"),
                        low=pl.col("score") - 2,
                        high=pl.col("score") + 2,
                    ).select(pl.col(key).cast(kind) for key, kind in INTERVALS.items())
                )
    comparisons = [
        _compared(generator, codes, task, metric, "methods", (f"{one}-{source}-{dim}", step), (f"{other}-{source}-{dim}", step))
        for task, metric in TASKS.items()
        for step in STEPS
        for source in SOURCES
        for dim in DIMS
        for one, other in combinations(METHODS, 2)
    ]
    comparisons += [
        _compared(generator, codes, task, metric, "steps", (model, STEPS[1]), (model, STEPS[0]))
        for task, metric in TASKS.items()
        for model in names
    ]
    write_table(folder / "scores.parquet", pl.concat(scores), Provenance("scores", seed=42))
    write_table(folder / "intervals.parquet", pl.concat(intervals), Provenance("significance"))
    write_table(folder / "comparisons.parquet", pl.concat(comparisons), Provenance("significance"))
    files = (folder / "intervals.parquet", folder / "comparisons.parquet")
    return ReportInputs("large", folder / "scores.parquet", rows, {"seed": 42}, 42, *files)


def _compared(
    generator: np.random.Generator,
    codes: list[str],
    task: str,
    metric: str,
    kind: str,
    first: tuple[str, int],
    second: tuple[str, int],
) -> pl.DataFrame:
    difference = generator.normal(size=len(codes) + 1)
    said = np.array(["better", "worse", "no difference shown"])[generator.integers(3, size=len(codes) + 1)]
    columns = {"task": task, "metric": metric, "kind": kind, "first": first[0], "first_step": first[1]}
    columns |= {"second": second[0], "second_step": second[1], "first_score": 50.0, "second_score": 50.0}
    columns |= {"language": [MEAN, *codes], "languages": [len(codes), *[1] * len(codes)]}
    columns |= {"difference": difference, "low": difference - 1, "high": difference + 1}
    return pl.DataFrame({**columns, "p": 0.01, "p_adjusted": 0.02, "verdict": said}, schema=COMPARISONS)
