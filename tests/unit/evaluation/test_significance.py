"""Intervals and comparisons of a run's tables: against loops over languages, on simulated runs, and what cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.stats
from ranks_cases import run_row, write_ranks
from report_cases import scored
from tagging_cases import tagging_values

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError
from lexigraft.evaluation.comparing import COMPARISONS, Pair, System
from lexigraft.evaluation.intervals import INTERVALS, blocks_of, task_tables
from lexigraft.evaluation.language_modeling import SENTENCES as LIKELIHOODS
from lexigraft.evaluation.scores import MEAN, mean_scores, write_scores
from lexigraft.evaluation.sentence_results import SentenceResults, Unit
from lexigraft.evaluation.significance import write_statistics
from lexigraft.evaluation.statistics import NO_DIFFERENCE, holm, resampled_counts
from lexigraft.evaluation.tagging.scoring import SENTENCES as TAGGED
from lexigraft.evaluation.tasks import Metric, tasks_of

SENTENCES, SEED = 120, 5
LANGUAGES = {"tur_Latn": 0.5, "kor_Hang": 0.3, "rus_Cyrl": 0.7}
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def found(rows: list[dict[str, Any]], ranks: list[Path], folder: Path) -> Tables:
    """Scores, intervals and comparisons of a run of one retrieval task."""
    scores = scored(folder, ranks, rows, SEED, top_k=[1, 10])
    return scores, *(read_table(folder / f"{name}.parquet", "significance") for name in ("intervals", "comparisons"))


def drawn_ranks(generator: np.random.Generator, ease: float, hard: np.ndarray) -> dict[str, list[int | None]]:
    shares = {language: share + ease for language, share in LANGUAGES.items()}
    return {
        language: [
            int(generator.integers(1, 11)) if right else None
            for right in hard + generator.normal(size=SENTENCES) < scipy.stats.norm.ppf(share) * math.sqrt(2)
        ]
        for language, share in shares.items()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Three methods, one of them with two seeds, at two steps; `graft` after pre-training is much better."""
    generator, folder = np.random.default_rng(1), tmp_path_factory.mktemp("run")
    hard = generator.normal(size=SENTENCES)
    rows, paths = [], []
    for model, seed, eases in (
        ("ofa-m-8", 42, (0.0, 0.0)),
        ("graft-m-8-seed1", 1, (0.1, 0.25)),
        ("graft-m-8-seed2", 2, (0.1, 0.25)),
        ("ofa-m-16", 42, (0.0, 0.0)),
    ):
        for step, ease in zip((0, 9), eases, strict=True):
            rows.append(run_row(model, step, "sr_b", seed))
            paths.append(write_ranks(folder / f"{len(paths)}.parquet", drawn_ranks(generator, ease, hard)))
    return found(rows, paths, folder)


def test_every_score_has_an_interval_around_it(run: Tables) -> None:
    scores, intervals, _ = run
    assert intervals.schema == INTERVALS
    own = intervals.filter(pl.col("seeds") == 0, pl.col("language") != MEAN)
    keys = ["model", "step", "language", "metric"]
    both = scores.join(own, on=keys, validate="1:1", suffix="_again")
    assert len(both) == len(scores) == len(own)
    np.testing.assert_allclose(both["score"], both["score_again"])
    assert (intervals["low"] <= intervals["score"]).all()
    assert (intervals["high"] >= intervals["score"]).all()
    means = mean_scores(scores).join(intervals.filter(language=MEAN, seeds=0), on=["model", "step", "metric"])
    assert len(means) == 8
    np.testing.assert_allclose(means["mean"], means["score"])


def test_interval_of_the_mean_is_that_of_a_loop(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    ranks = drawn_ranks(generator, 0.0, generator.normal(size=SENTENCES))
    _, intervals, _ = found([run_row("ofa-m-8", 0, "sr_b")], [write_ranks(tmp_path / "a.parquet", ranks)], tmp_path)
    hits = {language: np.array([rank is not None and rank <= 10 for rank in of]) for language, of in ranks.items()}
    draws = []
    for _ in range(4000):
        chosen = generator.integers(SENTENCES, size=SENTENCES)
        draws.append(100 * np.mean([values[chosen].mean() for values in hits.values()]))
    (mean,) = intervals.filter(language=MEAN, metric="top_10").iter_rows(named=True)
    assert (mean["low"], mean["high"]) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.7)
    weights = resampled_counts(SENTENCES, 1000, SEED).astype(np.float64)
    (one,) = intervals.filter(language="kor_Hang", metric="top_10").iter_rows(named=True)
    wanted = np.quantile(100 * weights @ hits["kor_Hang"] / SENTENCES, [0.025, 0.975])
    assert (one["low"], one["high"]) == pytest.approx(wanted, abs=1e-3)


def test_what_is_compared(run: Tables) -> None:
    _, _, comparisons = run
    assert comparisons.schema == COMPARISONS
    means = comparisons.filter(language=MEAN)
    assert set(means.select("kind", "first", "first_step", "second", "second_step").rows()) == {
        ("methods", "graft-m-8", 0, "ofa-m-8", 0),
        ("methods", "graft-m-8", 9, "ofa-m-8", 9),
        *(("steps", name, 9, name, 0) for name in ("ofa-m-8", "graft-m-8", "ofa-m-16")),
    }
    assert set(means["languages"]) == {3}
    assert set(comparisons["metric"]) == {"top_10"}
    verdicts = {row["first"]: row["verdict"] for row in means.filter(kind="steps").iter_rows(named=True)}
    assert verdicts == {"graft-m-8": "better", "ofa-m-8": NO_DIFFERENCE, "ofa-m-16": NO_DIFFERENCE}
    best = means.filter(kind="methods", first_step=9).row(0, named=True)
    assert best["verdict"] == "better"
    assert best["low"] > 0
    assert best["p"] < 1e-6


def test_languages_are_tested_with_their_number_in_mind(run: Tables) -> None:
    _, _, comparisons = run
    for (_, _, _), part in comparisons.filter(pl.col("language") != MEAN).group_by("kind", "first", "first_step"):
        np.testing.assert_allclose(part["p_adjusted"], holm(part["p"].to_numpy()))
        shown = part.filter(pl.col("verdict") != NO_DIFFERENCE)
        assert (shown["p_adjusted"] < 0.05).all()
    means = comparisons.filter(kind="steps", language=MEAN)
    np.testing.assert_allclose(means["p_adjusted"], holm(means["p"].to_numpy()))


def test_difference_of_seeds_is_that_of_their_mean(run: Tables) -> None:
    scores, intervals, comparisons = run
    own = scores.filter(metric="top_10", step=9).group_by("model").agg(pl.col("score").mean())
    mean = dict(own.iter_rows())
    together = (mean["graft-m-8-seed1"] + mean["graft-m-8-seed2"]) / 2
    (found,) = comparisons.filter(kind="methods", first_step=9, language=MEAN).iter_rows(named=True)
    assert found["first_score"] == pytest.approx(together)
    assert found["difference"] == pytest.approx(together - mean["ofa-m-8"])
    (interval,) = intervals.filter(model="graft-m-8", step=9, language=MEAN, metric="top_10").iter_rows(named=True)
    assert interval["seeds"] == 2
    assert interval["score"] == pytest.approx(together)


def test_p_value_of_a_language_is_mcnemars(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    ranks = [drawn_ranks(generator, ease, np.zeros(SENTENCES)) for ease in (0.0, 0.12)]
    paths = [write_ranks(tmp_path / f"{at}.parquet", of) for at, of in enumerate(ranks)]
    _, _, comparisons = found([run_row("ofa-m-8", 0, "sr_b"), run_row("graft-m-8", 0, "sr_b")], paths, tmp_path)
    for language in LANGUAGES:
        one, other = (np.array([rank is not None for rank in of[language]]) for of in ranks)
        gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
        (got,) = comparisons.filter(language=language)["p"]
        assert got == pytest.approx(scipy.stats.binomtest(gained, gained + lost).pvalue)


def test_a_model_scored_in_fewer_languages_is_compared_in_those(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    ranks = drawn_ranks(generator, 0.0, np.zeros(SENTENCES))
    fewer = {language: of for language, of in drawn_ranks(generator, 0.1, np.zeros(SENTENCES)).items() if "rus" not in language}
    paths = [write_ranks(tmp_path / "0.parquet", ranks), write_ranks(tmp_path / "1.parquet", fewer)]
    scores, intervals, comparisons = found([run_row("ofa-m-8", 0, "sr_b"), run_row("ofa-m-8", 9, "sr_b")], paths, tmp_path)
    (mean,) = comparisons.filter(language=MEAN).iter_rows(named=True)
    both = scores.filter(pl.col("language").is_in(list(fewer)), metric="top_10", step=0)
    assert mean["languages"] == 2
    assert mean["second_score"] == pytest.approx(both["score"].mean())
    assert set(comparisons["language"]) == {MEAN, *fewer}
    assert len(intervals.filter(step=9, metric="top_10")) == 3


def test_means_of_models_that_do_not_differ_are_rarely_told_apart() -> None:
    """Type-I error of the mean over languages that share their sentences: 600 pairs of models of equal quality."""
    generator = np.random.default_rng(5)
    hard = generator.normal(size=(80, 1))
    ids = pl.Series([f"{at:03d}" for at in range(80)])
    values = [
        {
            language: np.column_stack([hard[:, 0] + generator.normal(size=80) + both > 0.4, np.ones(80)]).astype(np.float32)
            for language in ("aaa_Latn", "bbb_Latn", "ccc_Latn")
        }
        # what a model finds hard in a sentence it finds hard in all languages
        for both in generator.normal(size=(1200, 80))
    ]
    units = [Unit(dict.fromkeys(of, ids), of) for of in values]
    metric = Metric({"top_10": 1, "queries": -1}, "queries", "queries", scale=100.0)
    results = SentenceResults("sr_b", True, {"top_10": metric}, metric.columns, units, {})
    systems = [System(f"m{at}", 0, 0, (at,)) for at in range(1200)]
    pairs = [Pair("methods", 2 * at, 2 * at + 1) for at in range(600)]
    _, comparisons = task_tables(results, systems, pairs, seed=1, draws=10)
    p_values = comparisons.filter(language=MEAN)["p"].to_numpy()
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=0.03)


def tag_file(path: Path, generator: np.random.Generator, quality: float) -> Path:
    parts = []
    for language, size in (("tur_Latn", 60), ("kor_Hang", 40)):
        entities = generator.poisson(2.0, size=size)
        right = generator.binomial(entities, quality)
        counts = {"words": 12, "right_words": 9, "marked": entities * 2, "predicted_marked": entities + right}
        counts |= {"right_marked": right, "entities": entities, "predicted_entities": right + 1, "right_entities": right}
        columns = {"language": language, "sentence": np.arange(size), "pieces": 1, **counts, "made_from": ""}
        parts.append(pl.DataFrame(columns).cast(TAGGED).select(TAGGED.names()))  # type: ignore[arg-type]
    write_table(path, pl.concat(parts), Provenance("tag_scores"))
    return path


def likelihood_file(path: Path, generator: np.random.Generator, quality: float) -> Path:
    parts = []
    for language in LANGUAGES:
        scored = generator.integers(3, 30, size=50)
        columns = {"language": language, "sentence_id": [f"{at:03d}" for at in range(50)], "measure": "masked"}
        columns |= {"tokens": scored * 7, "cut_tokens": 0, "bytes": scored * 30, "scored": scored}
        columns |= {"log_likelihood": -scored * (quality + generator.normal(0, 0.3, size=50)), "made_from": ""}
        parts.append(pl.DataFrame(columns).cast(LIKELIHOODS).select(LIKELIHOODS.names()))  # type: ignore[arg-type]
    write_table(path, pl.concat(parts), Provenance("language_modeling"))
    return path


def test_tags_and_likelihoods_have_intervals_and_tests_as_well(tmp_path: Path) -> None:
    tagged = [run_row(model, 0, "ner") for model in ("ofa-m-8", "graft-m-8")]
    modeled = [run_row(model, 0, "text") for model in ("ofa-m-8", "graft-m-8")]
    tags = [
        [tag_file(tmp_path / f"{model}-{seed}", np.random.default_rng(seed), quality) for seed in (1, 2)]
        for model, quality in (("ofa", 0.3), ("graft", 0.8))
    ]
    likelihoods = [
        likelihood_file(tmp_path / f"{model}-text", np.random.default_rng(7), quality)
        for model, quality in (("ofa", 5.0), ("graft", 4.0))
    ]
    tasks = tasks_of({"ner": tagging_values(tmp_path), "text": {"kind": "language_modeling", "corpus": "c"}})
    rows, files = [*tagged, *modeled], [*tags, *([one] for one in likelihoods)]
    scores = write_scores(tasks, rows, files, tmp_path / "scores.parquet", Provenance("scores", seed=SEED))
    places = {"intervals_path": tmp_path / "intervals.parquet", "comparisons_path": tmp_path / "comparisons.parquet"}
    write_statistics(tasks, rows, files, seed=SEED, provenance=Provenance("significance"), **places)
    intervals, comparisons = pl.read_parquet(places["intervals_path"]), pl.read_parquet(places["comparisons_path"])
    both = scores.join(intervals, on=["model", "task", "language", "metric"], suffix="_again")
    spread = scores.filter(pl.col("metric").str.ends_with("_deviation"))
    assert len(spread) > 0
    assert len(both) == len(scores) - len(spread)
    np.testing.assert_allclose(both["score"], both["score_again"], rtol=1e-6)
    assert (intervals["low"] <= intervals["score"]).all()
    assert (intervals["high"] >= intervals["score"]).all()
    for task, metric, lower in (("ner", "f1", False), ("text", "bits_per_byte", True)):
        (mean,) = comparisons.filter(task=task, language=MEAN).iter_rows(named=True)
        assert (mean["first"], mean["second"], mean["verdict"]) == ("graft-m-8", "ofa-m-8", "better")
        assert mean["metric"] == metric
        assert (mean["difference"] < 0) == lower


def test_sentences_of_different_sets_are_drawn_apart() -> None:
    def unit(sentences: Mapping[str, Sequence[str]]) -> Unit:
        ids = {language: pl.Series(list(of)) for language, of in sentences.items()}
        return Unit(ids, {language: np.zeros((len(of), 1), dtype=np.float32) for language, of in sentences.items()})

    sentences = {"aaa_Latn": "ab", "bbb_Latn": "bc", "ccc_Latn": "xy", "ddd_Latn": "cd"}
    one, two = blocks_of(SentenceResults("t", True, {}, (), [unit(sentences)], {}))
    assert (one.sentences, two.sentences) == (4, 2)
    assert {language: rows.tolist() for language, rows in one.rows.items()} == {
        "aaa_Latn": [0, 1],
        "bbb_Latn": [1, 2],
        "ddd_Latn": [2, 3],
    }
    assert len(blocks_of(SentenceResults("t", False, {}, (), [unit(sentences)], {}))) == 4


def test_other_sentences_cannot_be_compared(tmp_path: Path) -> None:
    paths = [write_ranks(tmp_path / "0", {"tur_Latn": [1, 2]}), write_ranks(tmp_path / "1", {"tur_Latn": [1, 2, 3]})]
    with pytest.raises(ArtifactError, match="other test sentences in tur_Latn"):
        found([run_row("ofa-m-8", 0, "sr_b"), run_row("graft-m-8", 0, "sr_b")], paths, tmp_path)


def test_a_metric_of_one_model_only_has_rows_of_that_model(tmp_path: Path) -> None:
    """A deeper model has a layer more to score."""
    paths = [write_ranks(tmp_path / f"{at}.parquet", {"tur_Latn": [1, 2, None]}) for at in (0, 1)]
    deeper = pl.read_parquet(paths[1])
    write_table(paths[1], pl.concat([deeper, deeper.with_columns(variant=pl.lit("layer_9"))]), Provenance("ranks"))
    scores, intervals, _ = found([run_row("ofa-m-8", 0, "sr_b"), run_row("ofa-n-8", 0, "sr_b")], paths, tmp_path)
    for table in (scores, intervals):
        assert table.filter(metric="top_10_layer_9")["model"].unique().to_list() == ["ofa-n-8"]
        assert set(table.filter(metric="top_10")["model"]) == {"ofa-m-8", "ofa-n-8"}


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    ranks = drawn_ranks(np.random.default_rng(6), 0.0, np.zeros(SENTENCES))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rows = [run_row("ofa-m-8", 0, "sr_b"), run_row("ofa-m-8", 1, "sr_b")]
        found(rows, [write_ranks(tmp_path / name / f"{at}.parquet", ranks) for at in (0, 1)], tmp_path / name)
    for table in ("intervals.parquet", "comparisons.parquet"):
        assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()
