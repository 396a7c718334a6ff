"""The complete workflow on real text and a real model, in miniature."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from lexigraft.artifacts import check, identity, read_provenance, read_table
from lexigraft.corpora.held_out import held_out_ids
from tests.checkout import Checkout, edit

METHODS = ("random", "ofa", "hyperofa", "graft")


def test_scores_and_report_are_complete(finished: Checkout) -> None:
    results = finished.folder / "results" / "mini"
    scores = read_table(results / "scores.parquet", "scores")
    assert scores.columns == [
        *("run", "model", "method", "source", "target", "dim", "seed", "step", "task", "language", "metric", "score", "n"),
        *("unit", "headline", "lower_is_better"),
    ]
    assert len(scores) == len(METHODS) * 2 * 2 * 3
    assert set(scores["metric"]) == {"top_1", "top_5", "top_10"}
    assert set(scores["n"]) == {500}
    assert scores["score"].is_between(0, 100).all()
    wide = scores.pivot(on="metric", index=["model", "step", "language"], values="score")
    assert (wide["top_1"] <= wide["top_5"]).all()
    assert (wide["top_5"] <= wide["top_10"]).all()
    assert (results / "report.html").stat().st_size > 100_000


def test_methods_rank_as_expected(finished: Checkout) -> None:
    scores = read_table(finished.folder / "results/mini/scores.parquet", "scores").filter(metric="top_10", step=0)
    mean = dict(scores.group_by("method").agg(pl.col("score").mean()).iter_rows())
    assert len(set(mean.values())) == len(METHODS)
    assert mean["graft"] > mean["ofa"] > mean["random"]


def test_every_token_has_an_origin(finished: Checkout) -> None:
    for method in METHODS:
        tokens = read_table(
            finished.folder / f"results/mini/models/{method}-minilm-32/step-0/tokens.parquet", "initialized_model"
        )
        assert len(tokens) == 4000
        assert set(tokens["origin"]) <= {"copied", "computed", "mean", "random"}
        assert (tokens["source_id"].is_not_null() == (tokens["origin"] == "copied")).all()


def test_no_training_stage_reads_held_out_verses(finished: Checkout) -> None:
    resources = finished.folder / "resources"
    held_out = held_out_ids("sr_b")
    training = resources / "corpora/bible/sentences.parquet"
    sentences, tested = read_table(training, "corpus"), read_table(training.parent / "held_out.parquet", "corpus")
    assert len(held_out) == 500
    assert not held_out & set(sentences["sentence_id"])
    assert set(tested["sentence_id"]) == held_out
    # training stages read only that table of a corpus
    known = {identity(path) for path in resources.glob("*/**/*") if path.is_file() and "corpora" not in path.parts}
    known |= {identity(path) for path in finished.folder.glob("results/mini/models/**/*") if path.is_file()}
    for artifact in (
        *resources.glob("tokenizers/*/vocabulary.parquet"),
        *resources.glob("word_vectors/*/*"),
        *resources.glob("pretraining_data/**/*.arrow"),
        *finished.folder.glob("results/mini/models/*/pretraining_history.parquet"),
    ):
        inputs = " ".join(read_provenance(artifact)["inputs"].values()).split()
        assert set(inputs) - known <= {identity(training)}, artifact
    assert identity(training) in read_provenance(next(resources.glob("word_vectors/*/words.parquet")))["inputs"].values()


def test_every_artifact_is_sealed_and_contains_no_paths(finished: Checkout) -> None:
    artifacts = [path for path in finished.folder.glob("re*/**/*") if path.suffix in (".parquet", ".safetensors", ".arrow")]
    assert len(artifacts) > 40
    for path in artifacts:
        provenance = read_provenance(path)
        check(path, provenance["stage"])
        assert provenance["code"], path
        assert provenance["lock"], path
        assert str(finished.folder) not in str(provenance)


def test_logs_contain_stage_machine_time_and_memory(finished: Checkout) -> None:
    for log in (finished.folder / "logs").glob("**/*.log"):
        text = log.read_text()
        assert re.search(r"stage \w+ on \S+ with 1 threads", text), log
        assert re.search(r"stage \w+ done in [\d.]+ s, peak memory [\d.]+ GB", text), log
    training = (finished.folder / "logs/pretraining/ofa-minilm-32.log").read_text()
    assert "cpu" in training.lower()
    assert "loss" in training


def test_two_runs_with_the_same_seed_give_the_same_bytes(finished: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other")
    models = [f"results/mini/models/{method}-minilm-32/step-0/model.safetensors" for method in METHODS]
    other.run(*models, "resources/pretraining_data/bible/bible-4k/kor_Hang.arrow")
    second = other.artifacts()
    first = finished.artifacts()
    assert set(models) <= second.keys()
    assert [name for name in second if second[name] != first[name]] == []


def test_another_seed_gives_other_models(scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "seed: 7", "seed: 8")
    path = "results/mini/models/random-minilm-32/step-0/model.safetensors"
    before = (scratch.folder / path).read_bytes()
    scratch.run(path)
    assert (scratch.folder / path).read_bytes() != before


def test_snakemakes_report_is_written(scratch: Checkout, tmp_path: Path) -> None:
    scratch.run("--report", str(tmp_path / "snakemake.html"))
    assert "Scores of all models of the run" in (tmp_path / "snakemake.html").read_text()


@pytest.mark.parametrize("step", [0, 2])
def test_models_load_in_transformers(finished: Checkout, step: int) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    import lexigraft  # noqa: F401  registers the classes

    folder = finished.folder / f"results/mini/models/graft-minilm-32/step-{step}"
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size == 4000
    logits = model(**tokenizer("Au commencement, Dieu créa", return_tensors="pt", return_token_type_ids=False)).logits
    assert logits.shape[-1] == 4000
