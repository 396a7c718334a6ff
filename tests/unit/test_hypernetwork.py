"""Hypernetworks: the loss against a hand-written one, sizes against the paper's, training on pairs that can be learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_table, write_table, write_tensors
from lexigraft.errors import ArtifactError, InputError
from lexigraft.hypernetwork import bilstm, mlp
from lexigraft.hypernetwork.build import load_predictor, write_hypernetwork
from lexigraft.hypernetwork.losses import contrastive_loss, hypernetwork_loss, normalized_l1
from lexigraft.hypernetwork.sets import WordSets, grouped_batches
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, MLPHypernetwork
from lexigraft.hypernetwork.split import split_pairs
from lexigraft.word_vectors.table import WordVectors, write_word_vectors

CPU = torch.device("cpu")


def test_the_loss_is_the_hand_written_one() -> None:
    rng = np.random.default_rng(0)
    target, predicted = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    total = 0.0
    for i in range(5):
        cosines = [predicted[i] @ target[k] / np.linalg.norm(predicted[i]) / np.linalg.norm(target[k]) / 0.5 for k in range(5)]
        total += np.log(np.sum(np.exp(cosines))) - cosines[i]
    l1 = np.abs(target - predicted).mean() / np.abs(target).mean()
    ours, theirs = torch.from_numpy(predicted), torch.from_numpy(target)
    assert contrastive_loss(ours, theirs, 0.5).item() == pytest.approx(total / 5)
    assert normalized_l1(ours, theirs).item() == pytest.approx(l1)
    loss, parts = hypernetwork_loss(ours, theirs, 0.1, 0.5)
    assert loss.item() == pytest.approx(0.1 * total / 5 + 0.9 * l1)
    assert parts["loss"] == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("rank", "layers", "hidden", "millions"),
    [
        (100, 2, 800, 22.1),
        (200, 2, 800, 22.5),
        (400, 2, 1600, 87.4),
        (100, 4, 800, 52.9),
        (200, 4, 800, 53.3),
        (400, 4, 1600, 210.3),
    ],
)
def test_parameter_counts_are_the_papers(rank: int, layers: int, hidden: int, millions: float) -> None:
    with torch.device("meta"):
        network = bilstm.BiLSTM(200, rank, BiLSTMHypernetwork(kind="bilstm", layers=layers, hidden=hidden))
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def random_sets(seed: int, count: int = 50, words: int = 200, longest: int = 30) -> WordSets:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, count)
    return WordSets(np.concatenate([[0], np.cumsum(lengths)]), rng.integers(0, words, lengths.sum()))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), mode=st.sampled_from(["paper", "parity"]), longest=st.integers(3, 40))
def test_resampled_sets_are_parts_of_the_sets(seed: int, mode: str, longest: int) -> None:
    sets = random_sets(seed)
    seen = sets.resampled(longest, mode, np.random.default_rng(seed))
    assert (seen.lengths >= 1).all()
    assert (seen.lengths <= np.minimum(sets.lengths, longest)).all()
    assert (seen.lengths >= np.minimum(np.ceil(0.5 * sets.lengths), longest)).all()
    for index in range(len(sets)):
        whole = sets.words[sets.starts[index] : sets.starts[index + 1]].tolist()
        for word in seen.words[seen.starts[index] : seen.starts[index + 1]]:
            whole.remove(word)  # fails if a word is drawn twice


def test_paper_and_parity_differ_as_documented() -> None:
    sets = random_sets(1, count=4000, longest=12)

    def kept_order(mode: str) -> np.ndarray:
        seen = sets.resampled(256, mode, np.random.default_rng(0))
        first = sets.words[sets.starts[:-1]] == seen.words[seen.starts[:-1]]
        return first[sets.lengths > 8]

    assert kept_order("paper").mean() < 0.25
    assert 0.45 < kept_order("parity").mean() < 0.65
    lengths = sets.resampled(256, "paper", np.random.default_rng(0)).lengths
    assert 0.4 < (lengths == sets.lengths)[sets.lengths > 8].mean() < 0.65


def test_capped_sets_are_the_same_every_time() -> None:
    sets = random_sets(2)
    one, two = sets.capped(5, 0), sets.capped(5, 0)
    np.testing.assert_array_equal(one.words, two.words)
    assert one.lengths.max() == 5
    for index in range(len(sets)):
        whole = sets.words[sets.starts[index] : sets.starts[index + 1]]
        padded, lengths = sets.truncated(5).padded(np.array([index]))
        np.testing.assert_array_equal(padded[0, : lengths[0]], whole[:5])


def test_batches_hold_every_item_once_and_similar_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 256, 5000)
    batches = list(grouped_batches(lengths, 64, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(5000))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.2 * lengths.sum()


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = bilstm.BiLSTM(4, 3, BiLSTMHypernetwork(kind="bilstm", hidden=5)).eval()
    vectors = torch.randn(1, 3, 4)
    padded = torch.cat([torch.cat([vectors, torch.full((1, 6, 4), 9.0)], dim=1), torch.randn(1, 9, 4)])
    with torch.no_grad():
        alone, beside = network(vectors, torch.tensor([3])), network(padded, torch.tensor([3, 9]))
    torch.testing.assert_close(alone[0], beside[0])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_it_is_the_packed_bidirectional_lstm(layers: int) -> None:
    """Against torch's own BiLSTM on a packed batch with the same weights: final states of the last layer, both directions."""
    torch.manual_seed(0)
    network = bilstm.BiLSTM(4, 3, BiLSTMHypernetwork(kind="bilstm", hidden=5, layers=layers)).eval()
    reference = torch.nn.LSTM(4, 5, layers, batch_first=True, bidirectional=True).eval()
    for layer in range(layers):
        for ours, suffix in ((network.onward, ""), (network.backward_, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                with torch.no_grad():
                    getattr(reference, f"{name}_l{layer}{suffix}").copy_(getattr(ours[layer], f"{name}_l0"))
    vectors, lengths = torch.randn(6, 9, 4), torch.tensor([3, 9, 1, 5, 9, 2])
    packed = torch.nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    _, (hidden, _) = reference(packed)
    expected = network.head(torch.cat([hidden[-2], hidden[-1]], dim=1))
    rows = network(vectors, lengths)
    torch.testing.assert_close(rows, expected)
    ours = torch.autograd.grad(rows.square().sum(), list(network.onward.parameters()), retain_graph=True)
    theirs = torch.autograd.grad(expected.square().sum(), [p for n, p in reference.named_parameters() if "reverse" not in n])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def learnable_pairs(pairs: int = 300) -> tuple[WordSets, np.ndarray, np.ndarray]:
    """Rows of F that are a linear map of the mean word vector."""
    rng = np.random.default_rng(0)
    sets = random_sets(3, pairs, words=150, longest=6)
    vectors = rng.standard_normal((150, 12)).astype(np.float32)
    means = np.stack([vectors[sets.words[a:b]].mean(axis=0) for a, b in zip(sets.starts[:-1], sets.starts[1:], strict=True)])
    return sets, vectors, (means @ rng.standard_normal((12, 8)) / 50).astype(np.float32)


def test_the_bilstm_learns_is_deterministic_and_keeps_its_best_epoch() -> None:
    sets, vectors, targets = learnable_pairs()
    options = BiLSTMHypernetwork(
        kind="bilstm", hidden=24, layers=1, epochs=12, batch_size=32, dropout=0.0, learning_rate=5e-3, validation=0.1, test=0.1
    )
    network, history = bilstm.train(options, sets, vectors, targets, seed=1, device=CPU)
    again, _ = bilstm.train(options, sets, vectors, targets, seed=1, device=CPU)
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    table = history.table()
    validation = table.filter(pl.col("split") == "validation").sort("epoch")
    assert validation["loss"].min() < 0.6 * validation["loss"][0]
    assert validation["cosine"].max() > 0.8
    test = table.filter(pl.col("split") == "test")
    assert test["epoch"].to_list() == [history.best_epoch()]
    items = split_pairs(len(sets), 0.1, 0.1, options.split_seed)[1]
    rows = bilstm.predict(network, options, sets, vectors, CPU)[items]
    l1 = np.abs(rows - targets[items]).mean() / np.abs(targets[items]).mean()
    assert l1 == pytest.approx(validation.filter(pl.col("epoch") == history.best_epoch())["l1"][0], rel=0.1)


def test_the_learning_rate_decays_every_ten_epochs() -> None:
    sets, vectors, targets = learnable_pairs(60)
    options = BiLSTMHypernetwork(kind="bilstm", hidden=4, layers=1, epochs=21, batch_size=64, dropout=0.0)
    _, history = bilstm.train(options, sets, vectors, targets, seed=1, device=CPU)
    rates = history.table().filter(pl.col("split") == "train")["learning_rate"].to_list()
    np.testing.assert_allclose(rates, [1e-4] * 10 + [0.95e-4] * 10 + [0.95**2 * 1e-4])


def test_the_mlp_learns() -> None:
    sets, vectors, targets = learnable_pairs()
    means = np.stack([vectors[sets.words[a:b]].mean(axis=0) for a, b in zip(sets.starts[:-1], sets.starts[1:], strict=True)])
    scaled = (targets / np.abs(targets).mean()).astype(np.float32)
    nearest = mlp.nearest_foreign(means, vectors, 4)
    cosines = (means / np.linalg.norm(means, axis=1, keepdims=True)) @ (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ).T
    assert (nearest[:, 0] == cosines.argmax(axis=1)).all()
    options = MLPHypernetwork(
        kind="mlp", hidden=64, epochs=60, batch_size=64, dropout=0.0, neighbour_probability=0.0, validation=0.1, test=0.1
    )
    networks, histories = mlp.train(options, mlp.Pairs(means, scaled, nearest, vectors), seed=0, device=CPU)
    assert len(networks) == len(histories) == 2
    last = histories[0].table().filter(pl.col("split") == "validation").sort("epoch")["cosine"][-1]
    assert last > 0.8
    rows = mlp.predict(networks, means, CPU)
    assert np.abs(rows - scaled).mean() < 0.5 * np.abs(scaled).mean()


def test_too_few_pairs_are_an_error() -> None:
    with pytest.raises(InputError, match="only 9 source tokens"):
        split_pairs(9, 0.025, 0.005, 42)
    train, validation, test = split_pairs(1000, 0.025, 0.005, 42)
    assert (len(train), len(validation), len(test)) == (970, 25, 5)
    assert sorted(np.concatenate([train, validation, test])) == list(range(1000))


@pytest.mark.parametrize("kind", ["bilstm", "mlp"])
def test_a_written_network_predicts_the_same_and_checks_the_vectors(tmp_path: Path, kind: str) -> None:
    sets, vectors, targets = learnable_pairs(80)
    matches = csr_matrix((np.ones(len(sets.words), np.float32), sets.words, sets.starts), shape=(80, 150))
    matches.sum_duplicates()
    coo = matches.tocoo()
    table = pl.DataFrame({"token": coo.row, "word": coo.col, "count": np.ones(coo.nnz)})
    write_table(
        tmp_path / "m.parquet", table.cast({"token": pl.Int32, "word": pl.Int32, "count": pl.UInt8}), Provenance("matches")
    )
    surfaces = [f" t{i}" for i in range(80)]
    vocabulary = pl.DataFrame({"id": range(80), "token": surfaces, "surface": surfaces, "role": [None] * 80, "count": [0] * 80})
    write_table(tmp_path / "v.parquet", vocabulary.cast({"id": pl.Int32, "role": pl.String}), Provenance("source"))
    factors = {
        "coordinates": targets,
        "primitives": np.eye(8, dtype=np.float32),
        "singular_values": np.arange(8, 0, -1, dtype=np.float32),
    }
    write_tensors(tmp_path / "f.safetensors", factors, Provenance("factors"))
    words = WordVectors(pl.Series(["eng", "tur"] * 75), pl.Series([f"w{i}" for i in range(150)]), np.full(150, 5), vectors)
    write_word_vectors(words, tmp_path / "w.parquet", tmp_path / "w.safetensors", Provenance("word_vectors"))
    options = (
        BiLSTMHypernetwork(kind="bilstm", hidden=6, epochs=2)
        if kind == "bilstm"
        else MLPHypernetwork(kind="mlp", hidden=16, epochs=2, batch_size=32)
    )
    provenance = Provenance("hypernetwork", {"settings": options.model_dump()}, seed=1)
    for name in ("a", "b"):
        write_hypernetwork(
            options,
            factors_path=tmp_path / "f.safetensors",
            matches_path=tmp_path / "m.parquet",
            vocabulary_path=tmp_path / "v.parquet",
            words_path=tmp_path / "w.parquet",
            vectors_path=tmp_path / "w.safetensors",
            source_languages=("eng_Latn",),
            network_path=tmp_path / f"{name}.safetensors",
            history_path=tmp_path / f"{name}.parquet",
            seed=1,
            threads=1,
            gpus=0,
            provenance=provenance,
        )
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    history = read_table(tmp_path / "a.parquet", "hypernetwork")
    assert set(history["split"]) == {"train", "validation", "test"}
    predictor = load_predictor(tmp_path / "a.safetensors", vectors, CPU)
    rows = predictor(matches, np.array([3, 60, 7]))
    assert rows.shape == (3, 8)
    np.testing.assert_allclose(rows[1:2], predictor(matches, np.array([60])), atol=1e-6)
    with pytest.raises(ArtifactError, match="width 12, these have 9"):
        load_predictor(tmp_path / "a.safetensors", vectors[:, :9], CPU)
