"""Retrieval: FAISS against brute force, sentence vectors against transformers' own hidden states."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modeling_cases import FAMILY_NAMES, SIZES, plain_model, vocabulary
from tagging_cases import word_tokenizer

from lexigraft.errors import InputError
from lexigraft.evaluation.retrieval import SentenceEncoder, check_languages, layer_to_read, layers_to_read, rank_of
from lexigraft.evaluation.sentences import budget_batches
from lexigraft.evaluation.tasks.retrieval import RetrievalTask

TASK = RetrievalTask(kind="retrieval", corpus="bible")
TEXTS = ["w7 w8 w30", "w9", "w7 w8 w30 w31 w32 w33 w34 w35 w36 w37 w12", "w12 w9 w8", "", "w8"]
CPU = torch.device("cpu")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), queries=st.integers(1, 40), keys=st.integers(1, 60), top_k=st.integers(1, 12))
def test_ranks_are_those_of_brute_force(seed: int, queries: int, keys: int, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.standard_normal((queries, 16)), rng.standard_normal((keys, 16))
    right = rng.integers(0, keys, queries)
    cosines = (ours @ theirs.T) / np.linalg.norm(ours, axis=1)[:, None] / np.linalg.norm(theirs, axis=1)[None]
    rank = (cosines > np.take_along_axis(cosines, right[:, None], axis=1)).sum(axis=1) + 1
    expected = np.where(rank <= top_k, rank, 0)
    np.testing.assert_array_equal(rank_of(ours.astype(np.float32), theirs.astype(np.float32), right, top_k), expected)


@pytest.mark.skipif(
    not (torch.cuda.is_available() and hasattr(faiss, "StandardGpuResources")), reason="no GPU, or FAISS without its GPU part"
)
@pytest.mark.parametrize("top_k", [10, 2048, 3000])
def test_ranks_on_a_gpu_are_those_of_the_cpu(top_k: int) -> None:
    check_ranks_on_a_gpu(top_k)


def test_a_faiss_without_gpu_searches_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of a GPU is found by whichever FAISS is installed."""
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    check_ranks_on_a_gpu(10)


def check_ranks_on_a_gpu(top_k: int) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = (rng.standard_normal((size, 16)).astype(np.float32) for size in (50, 3000))
    right = rng.integers(0, 3000, 50)
    np.testing.assert_array_equal(rank_of(ours, theirs, right, top_k, gpu=True), rank_of(ours, theirs, right, top_k))


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_sentence_vectors_are_the_mean_of_the_layers_hidden_states(name: str, layer: int) -> None:
    """Also before the last layer, where the LayerNorm behind the layers of a ModernBERT has no say."""
    model, tokenizer = plain_model(name, num_hidden_layers=4), word_tokenizer(vocabulary(name))
    layers = [layer, *(other for other in (3, 1, 2) if other < layer)]
    found = SentenceEncoder(model, tokenizer, layers, 512, CPU).encode_layers(TEXTS, "test")
    for place, text in enumerate(TEXTS):
        with torch.no_grad():
            inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
            states = model(**inputs, output_hidden_states=True).hidden_states
        expected = np.stack([states[which][0].mean(dim=0).numpy() for which in layers])
        np.testing.assert_allclose(found[:, place], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_layers_behind_the_last_one_read_are_never_run(name: str) -> None:
    model, run = plain_model(name, num_hidden_layers=6), list[int]()
    for number, layer in enumerate(model.base_model.encoder.layer, start=1):
        layer.register_forward_hook(lambda *_, number=number: run.append(number))
    model.base_model.encoder.layer[4].register_forward_pre_hook(lambda *_: pytest.fail("layer 5 was run"))
    vectors = SentenceEncoder(model, word_tokenizer(vocabulary(name)), [4, 2], 512, CPU).encode_layers(TEXTS, "test")
    assert run == [1, 2, 3, 4]
    assert vectors.shape == (2, len(TEXTS), SIZES["hidden_size"])


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_texts_longer_than_the_model_are_cut(name: str) -> None:
    encoder = SentenceEncoder(plain_model(name), word_tokenizer(vocabulary(name)), [2], 512, CPU)
    np.testing.assert_allclose(encoder.encode(["w7 w8 " * 100], "test"), encoder.encode(["w7 w8 " * 50], "test"), atol=1e-6)


@pytest.mark.parametrize(("layers", "expected"), [(12, 8), (6, 4), (24, 16), (2, 1)])
def test_the_layer_nearest_two_thirds(layers: int, expected: int) -> None:
    assert layer_to_read(layers, "two_thirds") == expected
    assert layers_to_read(layers, TASK) == (expected,)
    with pytest.raises(InputError, match="layer 25 asked for"):
        layer_to_read(layers, 25)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 1000))
def test_batches_hold_every_sentence_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = budget_batches(np.array(lengths), budget)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[item] for item in batch) <= budget


def test_languages_without_sentences_are_named() -> None:
    assert check_languages(TASK, ["eng_Latn", "tur_Latn"], "x") == ["tur_Latn"]
    with pytest.raises(InputError, match="no test sentence in 'tur_Latm'; did you mean 'tur_Latn'"):
        check_languages(TASK.model_copy(update={"languages": ["tur_Latm"]}), ["eng_Latn", "tur_Latn"], "x")
    with pytest.raises(InputError, match="no test sentence in 'eng_Latn'"):
        check_languages(TASK, ["tur_Latn"], "x")
