"""Scores, intervals and the terminal's table against direct counting and textbook formulas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from ranks_cases import retrieval_tasks, run_row, write_ranks
from report_cases import scored

from lexigraft.artifacts import Provenance, read_provenance, read_table, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.evaluation.scores import SCHEMA, mean_scores, with_intervals
from lexigraft.evaluation.summary import score_table

LANGUAGES = ("tur_Latn", "kor_Hang", "arb_Arab")
Row = dict[str, Any]


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
        rows.append(run_row(f"{model}-tiny-8", step))
        ranks.append(drawn)
    return paths, rows, ranks


def test_scores_are_the_percentages_of_ranks_up_to_k(run: Any, tmp_path: Path) -> None:
    paths, rows, ranks = run
    returned = scored(tmp_path, paths, rows, seed=3, top_k=[10, 1, 5])
    scores = read_table(tmp_path / "scores.parquet", "scores")
    assert scores.equals(returned)
    assert scores.schema == SCHEMA
    expected = [
        (*about.values(), language, f"top_{k}", len(values), "queries", k == 10, False)
        for about, drawn in zip(rows, ranks, strict=True)
        for language, values in drawn.items()
        for k in (1, 5, 10)
    ]
    assert scores.drop("score").rows() == expected
    shares = [
        100 * np.mean([rank is not None and rank <= k for rank in values])
        for drawn in ranks
        for values in drawn.values()
        for k in (1, 5, 10)
    ]
    assert scores["score"].to_list() == shares
    assert read_provenance(tmp_path / "scores.parquet")["seed"] == 3


def test_scores_are_the_same_bytes_twice(run: Any, tmp_path: Path) -> None:
    paths, rows, _ = run
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        scored(tmp_path / name, paths, rows, seed=3)
    assert (tmp_path / "a" / "scores.parquet").read_bytes() == (tmp_path / "b" / "scores.parquet").read_bytes()


def test_ranks_that_make_no_sense_are_errors(tmp_path: Path) -> None:
    good = write_ranks(tmp_path / "good.parquet", {"tur_Latn": [1, None]})
    none = write_ranks(tmp_path / "none.parquet", {"tur_Latn": []})
    zero = write_ranks(tmp_path / "zero.parquet", {"tur_Latn": [2, 0]})
    twice, foreign = tmp_path / "twice.parquet", tmp_path / "foreign.parquet"
    write_table(twice, pl.concat([read_table(good, "ranks")] * 2), Provenance("ranks"))
    write_table(foreign, read_table(good, "ranks"), Provenance("corpus"))
    for path, error, message in (
        (none, InputError, "no queries were ranked"),
        (zero, InputError, "rank 0 is below 1"),
        (twice, InputError, "query '0000' of tur_Latn is there twice"),
        (foreign, ArtifactError, "expected 'ranks'"),
    ):
        with pytest.raises(error, match=message):
            scored(tmp_path, [path], [run_row("ofa-tiny-8")], seed=1)
    with pytest.raises(ValueError, match="shorter"):
        scored(tmp_path, [good], [run_row("ofa-tiny-8")] * 2, seed=1)
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize(("top_k", "expected"), [([1, 5, 10, 50], "top_10"), ([5, 1], "top_5")])
def test_headline_of_retrieval(top_k: list[int], expected: str) -> None:
    assert retrieval_tasks(["sr-b"], top_k=top_k)["sr-b"].headline_metric() == expected


def test_table_shows_means_and_intervals(run: Any, tmp_path: Path) -> None:
    paths, rows, ranks = run
    scores = scored(tmp_path, paths, rows, seed=5)
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
    scores = scored(tmp_path, paths[:3], rows[:3], seed=5, top_k=[10])
    text = score_table(scores, read_table(tmp_path / "intervals.parquet", "significance"))
    line = next(line for line in text.splitlines() if line.startswith("ofa"))
    assert line.split()[-1] == "-"
