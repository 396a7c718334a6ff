"""Retrieval in several layers and both directions, against brute force in float64; what is reused when a language is added."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tagging_cases import WORDS, write_model

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import InputError
from lexigraft.evaluation.retrieval import SCHEMA, SentenceEncoder, write_ranks
from lexigraft.evaluation.scores import task_scores
from lexigraft.evaluation.tasks.retrieval import RetrievalTask
from lexigraft.modeling.load import load_model
from lexigraft.settings import parse
from lexigraft.tokenizers.load import load_tokenizer

RNG = np.random.default_rng(4)
SENTENCES = 30
LANGUAGES = ("eng_Latn", "tur_Latn", "fra_Latn")
RETRIEVAL = {"kind": "retrieval", "corpus": "c", "layer": 1}
EVERYTHING = RETRIEVAL | {"layers": "all", "directions": "both", "mean_reciprocal_rank": True, "top_k": [1, 3]}


def task_of(**options: Any) -> RetrievalTask:
    task: RetrievalTask = parse(RetrievalTask, options)
    return task


def sentence() -> str:
    return " ".join(WORDS[place] for place in RNG.integers(len(WORDS), size=RNG.integers(1, 9)))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of three languages; two English ones are the same, and the French lack a few."""
    rows = [(language, f"{place:03d}", sentence()) for language in LANGUAGES for place in range(SENTENCES)]
    rows[7] = (*rows[7][:2], rows[3][2])
    path = tmp_path_factory.mktemp("corpus") / "held_out.parquet"
    table = pl.DataFrame(rows[:-4], schema=["language", "sentence_id", "text"], orient="row")
    write_table(path, table, Provenance("corpus"))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def ranked(task: RetrievalTask, held_out: Path, model: Path, path: Path) -> pl.DataFrame:
    write_ranks(task, sentences=held_out, model_folder=model, path=path, threads=1, gpus=0, provenance=Provenance("ranks"))
    table = read_table(path, "ranks")
    assert table.schema == SCHEMA
    return table


def their_vectors(folder: Path, texts: list[str], layer: int, special: bool = True) -> np.ndarray:
    """Means of transformers' own hidden states, a sentence at a time, as unit vectors in float64."""
    network, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    vectors = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = network(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states[layer][0]
        vectors.append((states if special else states[1:-1]).double().mean(dim=0).numpy())
    return np.stack([vector / np.linalg.norm(vector) for vector in vectors])


def test_ranks_of_every_layer_and_direction_are_those_of_brute_force(held_out: Path, model: Path, tmp_path: Path) -> None:
    table = ranked(task_of(**EVERYTHING), held_out, model, tmp_path / "ranks.parquet")
    assert table["variant"].unique(maintain_order=True).to_list() == ["", "back", "layer_2", "layer_2_back"]
    text = pl.read_parquet(held_out)
    for (language, variant), part in table.group_by("language", "variant"):
        index = text.filter(pl.col("language") == language)
        english = text.filter(pl.col("language") == "eng_Latn", pl.col("sentence_id").is_in(index["sentence_id"].implode()))
        layer = 2 if "layer_2" in str(variant) else 1
        ours, theirs = (their_vectors(model, table["text"].to_list(), layer) for table in (english, index))
        asked, keys = (theirs, ours) if "back" in str(variant) else (ours, theirs)
        cosines = asked @ keys.T
        if "back" in str(variant):  # an English sentence counts once
            first = english["text"].to_list()
            cosines[:, [place for place, one in enumerate(first) if one in first[:place]]] = -2
            own = cosines[np.arange(len(first)), [first.index(one) for one in first]]
        else:
            own = np.diagonal(cosines)
        assert part["query_id"].to_list() == english["sentence_id"].to_list()
        assert part["rank"].to_list() == ((cosines > own[:, None] + 1e-9).sum(axis=1) + 1).tolist()


def test_scores_of_variants_stand_beside_those_of_the_task(held_out: Path, model: Path, tmp_path: Path) -> None:
    table = ranked(task_of(**EVERYTHING), held_out, model, tmp_path / "ranks.parquet")
    scores = task_scores(task_of(**EVERYTHING), [tmp_path / "ranks.parquet"])
    of_task = ["top_1", "top_3", "mrr"]
    assert scores.filter(pl.col("language") == "fra_Latn")["metric"].to_list() == [
        name + suffix for suffix in ("", "_back", "_layer_2", "_layer_2_back") for name in of_task
    ]
    french = table.filter(pl.col("language") == "fra_Latn", pl.col("variant") == "layer_2_back")["rank"].to_numpy()
    value = {row["metric"]: row["score"] for row in scores.filter(pl.col("language") == "fra_Latn").iter_rows(named=True)}
    assert value["mrr_layer_2_back"] == pytest.approx(100 * np.mean(1 / french))
    assert value["top_3_layer_2_back"] == pytest.approx(100 * np.mean(french <= 3))
    plain = table.filter(pl.col("language") == "fra_Latn", pl.col("variant") == "")["rank"].to_numpy()
    assert value["top_3"] == pytest.approx(100 * np.mean(plain <= 3))


def test_ranks_beyond_what_counts_are_not_known(held_out: Path, model: Path, tmp_path: Path) -> None:
    whole = ranked(task_of(**EVERYTHING), held_out, model, tmp_path / "all.parquet").filter(pl.col("variant") == "")
    few = ranked(task_of(**RETRIEVAL, top_k=[1, 3]), held_out, model, tmp_path / "few.parquet")
    assert few["rank"].to_list() == [rank if rank <= 3 else None for rank in whole["rank"]]


def test_special_tokens_can_be_left_out_of_the_mean(held_out: Path, model: Path, tmp_path: Path) -> None:
    table = ranked(
        task_of(**RETRIEVAL, special_tokens=False, mean_reciprocal_rank=True), held_out, model, tmp_path / "r.parquet"
    )
    text = pl.read_parquet(held_out)
    english, turkish = (text.filter(pl.col("language") == code)["text"].to_list() for code in ("eng_Latn", "tur_Latn"))
    cosines = their_vectors(model, english, 1, special=False) @ their_vectors(model, turkish, 1, special=False).T
    expected = (cosines > np.diagonal(cosines)[:, None] + 1e-9).sum(axis=1) + 1
    assert table.filter(pl.col("language") == "tur_Latn")["rank"].to_list() == expected.tolist()


def test_a_language_that_is_added_is_searched_alone(
    held_out: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ranks.parquet"
    one = ranked(task_of(**RETRIEVAL, languages=["tur_Latn"]), held_out, model, path)
    with caplog.at_level(logging.INFO):
        both = ranked(task_of(**RETRIEVAL), held_out, model, path)
    assert "1 languages to search on cpu, 1 reused" in caplog.text
    assert both.filter(pl.col("language") == "tur_Latn").equals(one)
    assert both.equals(ranked(task_of(**RETRIEVAL), held_out, model, tmp_path / "fresh.parquet"))
    other = ranked(task_of(**RETRIEVAL | {"layer": 2}), held_out, model, path)
    assert other.equals(ranked(task_of(**RETRIEVAL | {"layer": 2}), held_out, model, tmp_path / "other.parquet"))


def test_english_is_encoded_once_for_all_languages(
    held_out: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, encoded = SentenceEncoder.encode_layers, []
    monkeypatch.setattr(
        SentenceEncoder,
        "encode_layers",
        lambda self, texts, what: encoded.append((what, len(texts))) or encode(self, texts, what),
    )
    ranked(task_of(**EVERYTHING), held_out, model, tmp_path / "ranks.parquet")
    # one of the English sentences stands twice, and the French ones lack four
    assert encoded == [("eng_Latn", SENTENCES - 1), ("tur_Latn", SENTENCES), ("fra_Latn", SENTENCES - 4)]


def test_what_repeats_and_what_is_cut_is_counted(
    held_out: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = pl.read_parquet(held_out).filter(pl.col("language") != "fra_Latn")
    text = text.with_columns(text=pl.when(pl.col("language") == "tur_Latn").then(pl.lit("w1 w2 w3")).otherwise("text"))
    write_table(tmp_path / "held_out.parquet", text, Provenance("corpus"))
    with caplog.at_level(logging.INFO):
        ranked(task_of(**RETRIEVAL, max_length=4), tmp_path / "held_out.parquet", model, tmp_path / "ranks.parquet")
    assert f"tur_Latn: {SENTENCES} queries among {SENTENCES} sentences, {SENTENCES - 1} of them repeat another" in caplog.text
    assert f"tur_Latn: {SENTENCES} of {SENTENCES} sentences are cut to 4 tokens" in caplog.text


def test_languages_none_of_whose_sentences_is_asked_for_are_named(held_out: Path, model: Path, tmp_path: Path) -> None:
    """They are told before the model is loaded; one sentence with a query is enough."""
    text, path = pl.read_parquet(held_out), tmp_path / "held_out.parquet"
    other = pl.when(pl.col("language").is_in(["tur_Latn", "fra_Latn"])).then("other/" + pl.col("sentence_id"))
    write_table(path, text.with_columns(sentence_id=other.otherwise("sentence_id")), Provenance("corpus"))
    with pytest.raises(InputError, match="no sentence of tur_Latn, fra_Latn has the id of a sentence of eng_Latn"):
        ranked(task_of(**RETRIEVAL), path, tmp_path / "no-model", tmp_path / "ranks.parquet")
    assert not (tmp_path / "ranks.parquet").exists()
    first = text.with_columns(
        sentence_id=pl.when(pl.col("sentence_id") == "000").then("sentence_id").otherwise(other.otherwise("sentence_id"))
    )
    write_table(path, first, Provenance("corpus"))
    found = ranked(task_of(**RETRIEVAL), path, model, tmp_path / "ranks.parquet")
    assert found.select("language", "query_id").rows() == [("tur_Latn", "000"), ("fra_Latn", "000")]
