"""The hypernetwork stage: its files, the quality that it measures, and what the loaded network predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypernetwork_cases import OUTPUTS, RANK, TOKENS, WIDTH, WORDS, build, matched, rows_of, word_vectors, write_inputs
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.artifacts import read_metadata, read_table, read_tensors
from lexigraft.errors import ArtifactError, ConfigError
from lexigraft.hypernetwork.predict import MLPPredictor, SetPredictor, load_predictor, predict_sets
from lexigraft.hypernetwork.quality import OFA_TEMPERATURE, OFA_TOP_K
from lexigraft.hypernetwork.sets import WordSets, sample_words
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, HypernetworkSettings, MLPHypernetwork, SetformerHypernetwork
from lexigraft.hypernetwork.split import split_pairs
from lexigraft.initializers.ofa import OFA
from lexigraft.word_vectors.table import WordVectors

CPU = torch.device("cpu")
COMMON: dict[str, Any] = {"validation": 0.15, "test": 0.1, "batch_size": 32}
KINDS: dict[str, HypernetworkSettings] = {
    "bilstm": BiLSTMHypernetwork(kind="bilstm", hidden=6, epochs=2, max_words=5, **COMMON),
    "setformer": SetformerHypernetwork(
        kind="setformer", layers=2, heads=3, feed_forward=16, epochs=2, max_words=5, prediction_draws=3, **COMMON
    ),
    "mlp": MLPHypernetwork(kind="mlp", hidden=16, epochs=2, **COMMON),
}
SURFACES = tuple(f" t{'k' * (index % 5)}{index}" for index in range(TOKENS))


def with_options(settings: HypernetworkSettings, **options: Any) -> HypernetworkSettings:
    return type(settings).model_validate({**settings.model_dump(), **options})


def counts() -> csr_matrix:
    table = matched()
    values = table["count"].to_numpy().astype(np.float32)
    return csr_matrix((values, (table["token"].to_numpy(), table["word"].to_numpy())), shape=(TOKENS, WORDS))


def evidence_by_hand(*, weighted: bool, own_only: bool, unit: bool = False) -> NDArray[np.float64]:
    """(tokens, words) weights, pair by pair."""
    words = word_vectors()
    weights = counts().toarray().astype(np.float64)
    for token, word in zip(*np.nonzero(weights), strict=True):
        if weighted:
            share = min(1.0, len(SURFACES[token].strip()) / len(words.words[int(word)]))
            weights[token, word] = share * np.sqrt(words.sentences[word])
        if unit:
            weights[token, word] /= np.linalg.norm(words.vectors[word].astype(np.float64))
        if own_only and words.languages[int(word)] != "eng":
            weights[token, word] = 0.0
    return weights


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_stage_is_deterministic_and_its_network_predicts(tmp_path: Path, kind: str) -> None:
    settings, inputs = KINDS[kind], write_inputs(tmp_path)
    path, again = build(settings, inputs, tmp_path / "a"), build(settings, inputs, tmp_path / "b")
    for name in OUTPUTS:
        assert (path.parent / name).read_bytes() == (again.parent / name).read_bytes()
    history = read_table(tmp_path / "a" / "history.parquet", "hypernetwork")
    assert set(history["split"]) == {"train", "validation", "test"}
    predictor, matches = load_predictor(path, word_vectors(), CPU), counts()
    rows = predictor(matches[np.array([3, 60, 7])])
    assert rows.shape == (3, RANK)
    assert rows.dtype == np.float32
    # a token's row does not depend on what else is predicted
    np.testing.assert_allclose(predictor(matches)[[3, 60, 7]], rows, atol=1e-6)
    vectors = word_vectors()
    narrow = WordVectors(vectors.languages, vectors.words, vectors.sentences, vectors.vectors[:, :9].copy())
    with pytest.raises(ArtifactError, match="width 12, these have 9"):
        load_predictor(path, narrow, CPU)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_artifact_holds_the_network_its_settings_and_no_word_vectors(tmp_path: Path, kind: str) -> None:
    """Whatever the rule calls its parameters: nothing of the provenance is read."""
    inputs, settings = write_inputs(tmp_path), KINDS[kind].model_dump(mode="json")
    path = build(KINDS[kind], inputs, tmp_path / "out", parameters={"options": settings})
    unnamed = build(KINDS[kind], inputs, tmp_path / "unnamed")
    predictor = load_predictor(path, word_vectors(), CPU)
    np.testing.assert_array_equal(predictor(counts()), load_predictor(unnamed, word_vectors(), CPU)(counts()))
    for one in (path, unnamed):
        assert read_metadata(one) == {"settings": settings, "width": WIDTH, "rank": RANK, "seed": 1}
    tensors = read_tensors(path, "hypernetwork")
    if isinstance(predictor, MLPPredictor):
        members = [(f"{index}.", member) for index, member in enumerate(predictor.networks)]
        more = {"scale", "singular_values"}
    else:
        members, more = [("", predictor.network)], set()
    states = {f"{prefix}{name}": value for prefix, member in members for name, value in member.state_dict().items()}
    assert set(tensors) == {*states, *more}
    assert all(tensors[name].shape == tuple(value.shape) for name, value in states.items())
    assert path.stat().st_size < sum(value.nbytes for value in tensors.values()) + 12_000


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("own_only", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_quality_is_that_of_a_float64_reference(tmp_path: Path, kind: str, own_only: bool, weighted: bool) -> None:
    settings = with_options(KINDS[kind], source_word_languages=own_only, word_weights=weighted)
    path = build(settings, write_inputs(tmp_path), tmp_path / "out")
    found = read_table(path.parent / "quality.parquet", "hypernetwork")
    assert found.select("method", "source", "dim", "seed", "split").rows() == [
        (method, "small", RANK, 1, split) for split in ("validation", "test") for method in ("net", "ofa")
    ]
    unit_words = getattr(settings, "unit_words", False)
    evidence = evidence_by_hand(weighted=weighted, own_only=own_only, unit=unit_words)
    vectors = word_vectors().vectors.astype(np.float64)
    tokens = np.flatnonzero(evidence.any(axis=1))
    assert (len(tokens) < TOKENS) == own_only
    evidence, rows = evidence[tokens], rows_of(matched(), word_vectors().vectors)[tokens].astype(np.float64)
    means = evidence / evidence.sum(axis=1, keepdims=True) @ vectors
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    split = split_pairs(len(tokens), 0.15, 0.1, settings.split_seed)
    predictor = load_predictor(path, word_vectors(), CPU)
    for name, items in (("validation", split.validation), ("test", split.test)):
        ofa = []
        for item in items:
            cosines = unit[split.train] @ unit[item]
            best = np.argsort(-cosines)[:10]
            weights = np.exp(cosines[best] / 0.1)
            ofa.append(weights / weights.sum() @ rows[split.train[best]])
        for method, predicted in (("ofa", np.stack(ofa)), ("net", predictor(csr_matrix(evidence[items])))):
            row = found.filter(pl.col("method") == method, pl.col("split") == name).row(0, named=True)
            true = rows[items]
            cosine = np.sum(predicted * true, axis=1) / np.linalg.norm(predicted, axis=1) / np.linalg.norm(true, axis=1)
            assert row["tokens"] == len(items)
            assert row["cosine"] == pytest.approx(cosine.mean(), rel=1e-4)
            assert row["l1"] == pytest.approx(np.abs(predicted - true).mean() / np.abs(true).mean(), rel=1e-4)


def test_ofa_as_published_is_compared_with_and_its_name_refused(tmp_path: Path) -> None:
    assert (OFA().top_k, OFA().temperature) == (OFA_TOP_K, OFA_TEMPERATURE)
    with pytest.raises(ConfigError, match="no hypernetwork can be named 'ofa'"):
        build(KINDS["bilstm"], write_inputs(tmp_path), tmp_path, name="ofa")


def test_quality_equals_the_history_if_predictions_are_single(tmp_path: Path) -> None:
    path = build(KINDS["bilstm"], write_inputs(tmp_path), tmp_path / "out")
    history = read_table(path.parent / "history.parquet", "hypernetwork")
    kept = history.filter(pl.col("split") == "test")["epoch"][0]
    for row in read_table(path.parent / "quality.parquet", "hypernetwork").filter(method="net").iter_rows(named=True):
        same = history.filter(pl.col("epoch") == kept, pl.col("split") == row["split"]).row(0, named=True)
        assert (same["cosine"], same["l1"]) == pytest.approx((row["cosine"], row["l1"]), rel=1e-5)


@pytest.mark.parametrize("kind", ["bilstm", "setformer"])
def test_prediction_draws_are_averaged(tmp_path: Path, kind: str) -> None:
    settings = with_options(KINDS[kind], prediction_draws=4)
    predictor = load_predictor(build(settings, write_inputs(tmp_path), tmp_path), word_vectors(), CPU)
    assert isinstance(predictor, SetPredictor)
    sets = WordSets.of(counts())
    table = torch.from_numpy(word_vectors().vectors)
    rows = predictor(counts())
    expected = np.zeros((TOKENS, RANK))
    for draw in range(4):
        words = sample_words(sets, 5, WORDS, 1, draw)
        assert words.lengths.max() == 5
        for item in range(TOKENS):
            chosen = table[torch.from_numpy(words.words[words.starts[item] : words.starts[item + 1]])]
            with torch.no_grad():
                expected[item] += predictor.network(chosen[None], torch.tensor([len(chosen)]))[0].numpy() / 4
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    once = predict_sets(predictor.network, with_options(settings, prediction_draws=1), sets, table, 1)
    few = sets.lengths < 5
    if kind == "setformer":
        np.testing.assert_allclose(rows[few], once[few], atol=1e-6)
    assert np.abs(rows - once)[~few].max() > 1e-4


def test_networks_over_sets_read_the_heaviest_words(tmp_path: Path) -> None:
    """And weights make no difference to one that was trained without."""
    weights = csr_matrix(evidence_by_hand(weighted=True, own_only=False).astype(np.float32))
    predictor = load_predictor(build(KINDS["bilstm"], write_inputs(tmp_path), tmp_path), word_vectors(), CPU)
    np.testing.assert_array_equal(predictor(weights), predictor(counts()))
    settings = with_options(KINDS["bilstm"], word_weights=True)
    predictor = load_predictor(build(settings, write_inputs(tmp_path), tmp_path), word_vectors(), CPU)
    assert isinstance(predictor, SetPredictor)
    many = np.flatnonzero(np.diff(weights.indptr) > 5)
    for row, token in zip(predictor(weights[many]), many, strict=True):
        best = np.sort(np.argsort(-weights[token].toarray()[0])[:5])
        with torch.no_grad():
            expected = predictor.network(torch.from_numpy(word_vectors().vectors[best])[None], torch.tensor([5]))[0]
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_the_mlp_reads_the_weighted_mean(tmp_path: Path) -> None:
    weights = evidence_by_hand(weighted=True, own_only=False, unit=True)
    predictor = load_predictor(build(KINDS["mlp"], write_inputs(tmp_path), tmp_path), word_vectors(), CPU)
    assert isinstance(predictor, MLPPredictor)
    means = weights / weights.sum(axis=1, keepdims=True) @ word_vectors().vectors
    means *= np.sqrt(WIDTH) / np.linalg.norm(means, axis=1, keepdims=True)
    with torch.no_grad():
        outputs = [network(torch.from_numpy(means).float()).numpy() for network in predictor.networks]
    factors = np.arange(RANK, 0, -1)
    expected = np.mean(outputs, axis=0) * np.abs(rows_of(matched(), word_vectors().vectors) * factors).mean() / factors
    np.testing.assert_allclose(predictor(csr_matrix(weights.astype(np.float32))), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", list(KINDS))
def test_rows_of_any_width_and_scale_are_learned(tmp_path: Path, kind: str) -> None:
    """D' = full: F is the embedding matrix itself, of the model's width and its scale, and all singular values are 1."""
    embeddings = 30 * rows_of(matched(), word_vectors().vectors, rank=48)
    options = {"dropout": 0.0, "epochs": 60, "learning_rate": 3e-3}
    settings = with_options(KINDS[kind], **options)
    sets = {"max_words": 256, "layers": 1, "prediction_draws": 1}
    settings = with_options(settings, **({"neighbor_probability": 0.0} if kind == "mlp" else sets))
    path = build(settings, write_inputs(tmp_path, embeddings), tmp_path)
    predictor = load_predictor(path, word_vectors(), CPU)
    rows = predictor(counts())
    assert rows.shape == embeddings.shape
    cosine = np.sum(rows * embeddings, axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(embeddings, axis=1)
    assert cosine.mean() > 0.8
    assert np.abs(rows).mean() == pytest.approx(np.abs(embeddings).mean(), rel=0.4)
    history = read_table(tmp_path / "history.parquet", "hypernetwork").filter(pl.col("split") == "train", network=0)
    assert history["l1"][-1] < 0.7 * history["l1"][0]
