"""Scores, intervals and the terminal's table against direct counting and textbook formulas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexigraft.artifacts import Provenance, read_provenance, read_table, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.evaluation.scores import (
    SCHEMA,
    collect_scores,
    confidence_interval,
    headline_metric,
    mean_intervals,
    mean_scores,
    paired_difference,
    read_hits,
    score_table,
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


def write_ranks(path: Path, ranks: Mapping[str, Sequence[int | None]]) -> Path:
    parts = [
        pl.DataFrame(
            {"language": language, "variant": "", "query_id": [f"{i:04d}" for i in range(len(values))], "rank": values},
            schema={"language": pl.String, "variant": pl.String, "query_id": pl.String, "rank": pl.Int32},
        )
        for language, values in ranks.items()
    ]
    write_table(path, pl.concat(parts), Provenance("ranks"))
    return path


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


def test_interval_of_one_language_is_the_binomial_one() -> None:
    count, share = 2000, 0.3
    hits = np.arange(count) < share * count
    interval = confidence_interval(hits_of({"tur_Latn": hits.tolist()}), draws=4000)
    half = 1.96 * 100 * np.sqrt(share * (1 - share) / count)
    assert interval.mean == pytest.approx(30.0)
    assert interval.low == pytest.approx(30 - half, abs=0.15)
    assert interval.high == pytest.approx(30 + half, abs=0.15)


def test_shared_sentences_widen_the_interval_of_a_mean_over_languages() -> None:
    hits = (np.random.default_rng(1).random(400) < 0.4).tolist()
    values = dict.fromkeys(("aaa_Latn", "bbb_Latn", "ccc_Latn", "ddd_Latn"), hits)
    one = confidence_interval(hits_of({"aaa_Latn": hits}))
    same = confidence_interval(hits_of(values))
    apart = confidence_interval(hits_of(values, shared=False), draws=4000)
    assert (same.low, same.high) == pytest.approx((one.low, one.high))
    # four independent sets of sentences: half the standard error
    assert (apart.high - apart.low) / (one.high - one.low) == pytest.approx(0.5, abs=0.05)


def test_interval_agrees_with_a_bootstrap_written_as_a_loop() -> None:
    generator = np.random.default_rng(2)
    values = {"aaa_Latn": generator.random(80) < 0.2, "bbb_Latn": generator.random(50) < 0.7}
    interval = confidence_interval(hits_of({key: hits.tolist() for key, hits in values.items()}), draws=4000)
    means = []
    for _ in range(4000):
        drawn = generator.integers(80, size=80)
        means.append(100 * (values["aaa_Latn"][drawn].mean() + values["bbb_Latn"][drawn[drawn < 50]].mean()) / 2)
    assert interval.mean == pytest.approx(50 * (values["aaa_Latn"].mean() + values["bbb_Latn"].mean()))
    assert interval.low == pytest.approx(np.quantile(means, 0.025), abs=0.6)
    assert interval.high == pytest.approx(np.quantile(means, 0.975), abs=0.6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=4), st.booleans())
def test_interval_surrounds_the_mean_and_stays_in_range(values: list[list[bool]], shared: bool) -> None:
    hits = hits_of({f"{place}_Latn": hit for place, hit in enumerate(values)}, shared=shared)
    interval = confidence_interval(hits, draws=200)
    assert interval.mean == pytest.approx(100 * np.mean([np.mean(hit) for hit in values]))
    assert 0 <= interval.low <= interval.high <= 100
    assert interval == confidence_interval(hits.sample(fraction=1.0, shuffle=True, seed=1), draws=200)


def test_level_and_seed_change_the_interval_and_nothing_else_does() -> None:
    hits = hits_of({"aaa_Latn": (np.random.default_rng(3).random(300) < 0.5).tolist()})
    usual = confidence_interval(hits)
    assert usual == confidence_interval(hits)
    narrow = confidence_interval(hits, level=0.5)
    assert usual.low < narrow.low < narrow.high < usual.high
    assert confidence_interval(hits, seed=1) != usual


def test_paired_difference_ignores_what_both_find_hard() -> None:
    generator = np.random.default_rng(4)
    easy = generator.random(500) < 0.5
    better = easy | (generator.random(500) < 0.06)
    first, second = hits_of({"aaa_Latn": better.tolist()}), hits_of({"aaa_Latn": easy.tolist()})
    difference = paired_difference(first, second)
    apart = confidence_interval(first).low - confidence_interval(second).high
    assert difference.mean == pytest.approx(100 * (better.mean() - easy.mean()))
    assert apart < 0 < difference.low
    assert difference.excludes_zero
    mirrored = paired_difference(second, first)
    assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx((-difference.mean, -difference.high, -difference.low))
    itself = paired_difference(first, first)
    assert (itself.low, itself.high, itself.excludes_zero) == (0, 0, False)


def test_paired_difference_is_over_common_queries() -> None:
    first = hits_of({"aaa_Latn": [True, True, False, False], "bbb_Latn": [True]})
    second = hits_of({"aaa_Latn": [False, True]})
    assert paired_difference(first, second).mean == pytest.approx(50)
    with pytest.raises(ValueError, match="no query in common"):
        paired_difference(first, hits_of({"ccc_Latn": [True]}))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [(["top_1", "top_5", "top_10", "top_50"], "top_10"), (["top_5", "top_1"], "top_5"), (["f1", "precision"], "f1")],
)
def test_headline_metric(metrics: list[str], expected: str) -> None:
    assert headline_metric(metrics) == expected


def test_table_shows_means_and_intervals(run: Any, tmp_path: Path) -> None:
    paths, rows, ranks = run
    scores = collect_scores(paths, rows, {key: [1, 5, 10] for key in TASKS}, tmp_path / "scores.parquet", Provenance("scores"))
    intervals = mean_intervals(scores, paths, rows, seed=5)
    means = [np.mean([100 * np.mean([r is not None for r in values]) for values in drawn.values()]) for drawn in ranks]
    np.testing.assert_allclose(intervals["mean"].to_numpy(), means)
    np.testing.assert_allclose(mean_scores(scores)["mean"].to_numpy(), means)
    direct = confidence_interval(read_hits(paths[1], 10), seed=5)
    assert intervals.row(1)[3:] == (direct.mean, direct.low, direct.high)

    text = score_table(scores, intervals)
    lines = {line.split()[0]: line for line in text.splitlines() if line and not line.startswith("-")}
    numbers = [float(number) for number in re.findall(r"\d+\.\d", lines["random-tiny-8"])]
    expected = [intervals[name][index] for index in (0, 1) for name in ("mean", "low", "high")]
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
    text = score_table(scores, mean_intervals(scores, paths[:3], rows[:3], seed=5))
    line = next(line for line in text.splitlines() if line.startswith("ofa"))
    assert line.split()[-1] == "-"
