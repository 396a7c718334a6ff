"""Scores, intervals and the terminal's table against direct counting and textbook formulas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from ranks_cases import write_ranks
from report_cases import significance

from lexigraft.artifacts import Provenance, read_provenance, read_table, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.evaluation.scores import (
    SCHEMA,
    collect_scores,
    headline_metric,
    mean_scores,
    score_table,
    with_intervals,
)

LANGUAGES = ("tur_Latn", "kor_Hang", "arb_Arab")
Row = dict[str, Any]
TASKS = ("sr-b", "sr-t", "other")


def row(model: str, step: int, task: str = "sr-b") -> Row:
    return {
        "run": "try",
        "model": f"{model}-tiny-8",
        "method": model,
        "source": "tiny",
        "target": "bible-1k",
        "dim": "8",
        "seed": 3,
        "step": step,
        "task": task,
    }


@pytest.fixture
def run(tmp_path: Path) -> tuple[list[Path], list[Row], list[dict[str, list[int | None]]]]:
    generator = np.random.default_rng(0)
    paths, rows, ranks = [], [], []
    for model, step, spread in (("random", 0, 40), ("random", 50, 30), ("ofa", 0, 12), ("ofa", 50, 8)):
        drawn: dict[str, list[int | None]] = {
            language: [int(r) if r <= 10 else None for r in generator.integers(1, spread, size=60 + 20 * place)]
            for place, language in enumerate(LANGUAGES)
        }
        paths.append(write_ranks(tmp_path / f"{model}-{step}.parquet", drawn))
        rows.append(row(model, step))
        ranks.append(drawn)
    return paths, rows, ranks


def hits_of(values: Mapping[str, Sequence[bool]], *, shared: bool = True) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (language, f"{index}" if shared else f"{language}-{index}", bool(hit))
            for language, hits in values.items()
            for index, hit in enumerate(hits)
        ],
        schema={"language": pl.String, "query_id": pl.String, "hit": pl.Boolean},
        orient="row",
    )


def test_scores_are_the_percentages_of_ranks_up_to_k(run: Any, tmp_path: Path) -> None:
    paths, rows, ranks = run
    out = tmp_path / "scores.parquet"
    returned = collect_scores(
        paths, rows, {key: [10, 1, 5] for key in TASKS}, out, Provenance("scores", {"top_k": [1, 5, 10]}, 3)
    )
    scores = read_table(out, "scores")
    assert scores.equals(returned)
    assert scores.schema == SCHEMA
    expected = [
        (*about.values(), language, f"top_{k}", 100 * sum(r is not None and r <= k for r in values) / len(values), len(values))
        for about, drawn in zip(rows, ranks, strict=True)
        for language, values in drawn.items()
        for k in (1, 5, 10)
    ]
    assert scores.drop("score").rows() == [(*found[:11], found[12]) for found in expected]
    np.testing.assert_allclose(scores["score"].to_numpy(), [found[11] for found in expected], rtol=1e-12)
    assert read_provenance(out)["seed"] == 3


def test_scores_are_the_same_bytes_twice(run: Any, tmp_path: Path) -> None:
    paths, rows, _ = run
    for name in ("a", "b"):
        collect_scores(paths, rows, {key: [1, 10] for key in TASKS}, tmp_path / name, Provenance("scores"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_ranks_that_make_no_sense_are_errors(tmp_path: Path) -> None:
    out, provenance = tmp_path / "scores.parquet", Provenance("scores")
    good = write_ranks(tmp_path / "good.parquet", {"tur_Latn": [1, None]})
    with pytest.raises(ValueError, match="1 ranks files but 2 rows"):
        collect_scores([good], [row("ofa", 0), row("ofa", 1)], {key: [10] for key in TASKS}, out, provenance)
    with pytest.raises(ValueError, match="lacks step, task"):
        collect_scores(
            [good],
            [{key: value for key, value in row("ofa", 0).items() if key not in ("step", "task")}],
            {key: [10] for key in TASKS},
            out,
            provenance,
        )
    with pytest.raises(ValueError, match="'ofa-tiny-8', task 'sr-b', step 0 is given twice"):
        collect_scores([good, good], [row("ofa", 0), row("ofa", 0)], {key: [10] for key in TASKS}, out, provenance)
    with pytest.raises(InputError, match="no queries were ranked"):
        collect_scores(
            [write_ranks(tmp_path / "none.parquet", {"tur_Latn": []})],
            [row("ofa", 0)],
            {key: [10] for key in TASKS},
            out,
            provenance,
        )
    with pytest.raises(InputError, match="rank 0 is below 1"):
        collect_scores(
            [write_ranks(tmp_path / "zero.parquet", {"tur_Latn": [2, 0]})],
            [row("ofa", 0)],
            {key: [10] for key in TASKS},
            out,
            provenance,
        )
    twice = tmp_path / "twice.parquet"
    write_table(twice, pl.concat([read_table(good, "ranks")] * 2), Provenance("ranks"))
    with pytest.raises(InputError, match="query '0000' of tur_Latn stands twice"):
        collect_scores([twice], [row("ofa", 0)], {key: [10] for key in TASKS}, out, provenance)
    write_table(tmp_path / "foreign.parquet", read_table(good, "ranks"), Provenance("corpus"))
    with pytest.raises(ArtifactError, match="expected 'ranks'"):
        collect_scores([tmp_path / "foreign.parquet"], [row("ofa", 0)], {key: [10] for key in TASKS}, out, provenance)
    assert not out.exists()


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [(["top_1", "top_5", "top_10", "top_50"], "top_10"), (["top_5", "top_1"], "top_5"), (["f1", "precision"], "f1")],
)
def test_headline_metric(metrics: list[str], expected: str) -> None:
    assert headline_metric(metrics) == expected


def test_table_shows_means_and_intervals(run: Any, tmp_path: Path) -> None:
    paths, rows, ranks = run
    scores = collect_scores(paths, rows, {key: [1, 5, 10] for key in TASKS}, tmp_path / "scores.parquet", Provenance("scores"))
    significance(tmp_path, paths, rows, seed=5)
    intervals = read_table(tmp_path / "intervals.parquet", "significance")
    means = [np.mean([100 * np.mean([r is not None for r in values]) for values in drawn.values()]) for drawn in ranks]
    np.testing.assert_allclose(mean_scores(scores)["mean"].to_numpy(), means)
    chosen = with_intervals(scores, intervals)

    text = score_table(scores, intervals)
    lines = {line.split()[0]: line for line in text.splitlines() if line and not line.startswith("-")}
    numbers = [float(number) for number in re.findall(r"\d+\.\d", lines["random-tiny-8"])]
    expected = [chosen[name][index] for index in (0, 1) for name in ("mean", "low", "high")]
    np.testing.assert_allclose(numbers, expected, atol=0.0501)
    assert "*" not in lines["random-tiny-8"]
    assert lines["ofa-tiny-8"].count("*") == 2
    assert lines["step"].split() == ["step", "0", "step", "50"]
    assert text.splitlines()[-1].startswith("percent, mean over languages: 3;")


def test_table_leaves_cells_of_unscored_steps_empty(run: Any, tmp_path: Path) -> None:
    paths, rows, _ = run
    scores = collect_scores(
        paths[:3], rows[:3], {key: [10] for key in TASKS}, tmp_path / "scores.parquet", Provenance("scores")
    )
    significance(tmp_path, paths[:3], rows[:3], seed=5)
    text = score_table(scores, read_table(tmp_path / "intervals.parquet", "significance"))
    line = next(line for line in text.splitlines() if line.startswith("ofa"))
    assert line.split()[-1] == "-"
