"""Training of hypernetworks: it learns, is deterministic, stops early, and ends with the same bytes after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypernetwork_cases import OUTPUTS, RANK, WORDS, build, set_pairs, word_vectors, write_inputs

from lexigraft.artifacts import read_tensors
from lexigraft.hypernetwork.predict import predict_sets
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, MLPHypernetwork, SetformerHypernetwork, SetSettings
from lexigraft.hypernetwork.train import train
from lexigraft.hypernetwork.train_mlp import MeanPairs, nearest_foreign, train_networks
from lexigraft.training.checkpoints import STAGE, Checkpoints
from lexigraft.training.divergence import DivergedError
from lexigraft.training.interruption import EXIT_CODE

CPU = torch.device("cpu")
COMMON = {"batch_size": 32, "learning_rate": 5e-3, "validation": 0.1, "test": 0.1, "checkpoint_minutes": 0.0}
BILSTM = BiLSTMHypernetwork(kind="bilstm", hidden=16, layers=2, epochs=6, **COMMON)
SETFORMER = SetformerHypernetwork(kind="setformer", layers=2, heads=3, feed_forward=20, epochs=6, **COMMON)
KINDS = {"bilstm": BILSTM, "setformer": SETFORMER}


def with_options(settings: SetSettings, **options: Any) -> SetSettings:
    return type(settings).model_validate({**settings.model_dump(), **options})


@pytest.mark.parametrize("kind", list(KINDS))
def test_training_returns_the_weights_of_the_best_epoch(kind: str) -> None:
    settings, pairs = with_options(KINDS[kind], epochs=25, dropout=0.0, layers=1), set_pairs(300)
    network, history = train(settings, pairs, seed=1, device=CPU)
    table = history.epochs()
    validation = table.filter(pl.col("split") == "validation").sort("epoch")
    assert validation["epoch"].to_list() == list(range(1, 26))
    assert validation["loss"].min() < 0.6 * validation["loss"][0]
    assert validation["cosine"].max() > 0.6
    best = history.best_epoch()
    assert table.filter(pl.col("split") == "test")["epoch"].to_list() == [best]
    # the weights are those of the best epoch: they give its values
    items = pairs.split.validation
    rows = predict_sets(network, settings, pairs.sets.part(items), torch.from_numpy(pairs.vectors), 1).astype(np.float64)
    true = pairs.targets[items].astype(np.float64)
    found = validation.filter(pl.col("epoch") == best).row(0, named=True)
    assert np.abs(rows - true).mean() / np.abs(true).mean() == pytest.approx(found["l1"], rel=1e-5)
    cosines = np.sum(rows * true, axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(true, axis=1)
    assert cosines.mean() == pytest.approx(found["cosine"], rel=1e-5)
    assert found["loss"] == pytest.approx(0.1 * found["contrastive"] + 0.9 * found["l1"])


@pytest.mark.parametrize("kind", list(KINDS))
def test_training_follows_from_the_seed_alone(kind: str) -> None:
    settings, pairs = with_options(KINDS[kind], epochs=2), set_pairs()
    torch.manual_seed(99)
    one, history = train(settings, pairs, seed=1, device=CPU)
    after = torch.rand(1)
    torch.manual_seed(99)
    assert torch.equal(after, torch.rand(1)), "training changes the state of other random numbers"
    again, same_history = train(settings, pairs, seed=1, device=CPU)
    other, _ = train(settings, pairs, seed=2, device=CPU)
    assert history.epochs().equals(same_history.epochs())
    for ours, theirs, different in zip(one.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, different)


def test_the_learning_rate_decays_every_so_many_epochs() -> None:
    settings = with_options(BILSTM, epochs=5, decay_every=2, decay=0.5, learning_rate=1e-4)
    _, history = train(settings, set_pairs(40), seed=1, device=CPU)
    rates = history.epochs().filter(pl.col("split") == "train")["learning_rate"]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 0.5e-4, 0.5e-4, 0.25e-4])


def test_patience_stops_a_run_that_no_longer_improves() -> None:
    settings = with_options(BILSTM, epochs=60, patience=3, learning_rate=0.05)
    _, whole = train(with_options(settings, patience=None), set_pairs(), seed=1, device=CPU)
    _, history = train(settings, set_pairs(), seed=1, device=CPU)
    losses = whole.epochs().filter(pl.col("split") == "validation").sort("epoch")["loss"].to_list()
    # the first epoch after three without a lower loss
    last = next(epoch for epoch in range(1, 61) if epoch - (1 + int(np.argmin(losses[:epoch]))) >= 3)
    found = history.epochs().filter(pl.col("split") == "validation")
    assert last < 60
    assert found["epoch"].max() == last
    assert found["loss"].to_list() == losses[:last]
    assert history.tested_epoch() == last - 3


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    pairs = set_pairs(40)
    pairs.targets[:] = np.nan
    with pytest.raises(DivergedError, match="diverged in epoch 1: validation loss nan"):
        train(BILSTM, pairs, seed=1, device=CPU)


def test_bfloat16_follows_float32_and_keeps_weights_in_float32() -> None:
    settings = with_options(BILSTM, precision="bfloat16", epochs=4)
    network, history = train(settings, set_pairs(), seed=1, device=CPU)
    exact, exact_history = train(with_options(settings, precision="float32"), set_pairs(), seed=1, device=CPU)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert not torch.equal(next(network.parameters()), next(exact.parameters()))
    rounded, whole = (item.epochs().filter(pl.col("split") == "validation")["loss"][-1] for item in (history, exact_history))
    assert rounded == pytest.approx(whole, rel=0.05)


class Stopping(Checkpoints):
    """Stops the run after an epoch, as a kill between two epochs would."""

    stop_after = 0

    def save(self, step: int, *arguments: Any, **position: Any) -> None:
        super().save(step, *arguments, **position)
        if step == self.stop_after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_stopped_after_any_epoch_ends_with_the_same_weights(tmp_path: Path, kind: str) -> None:
    settings, pairs = with_options(KINDS[kind], learning_rate=0.1), set_pairs()
    expected, history = train(settings, pairs, seed=1, device=CPU)
    assert history.best_epoch() < settings.epochs, "the best weights are the last: none are stored apart"
    for epoch in range(1, settings.epochs + 1):
        stopping = Stopping(tmp_path, {"seed": "1"}, 0.0, "epoch")
        stopping.stop_after = epoch
        with pytest.raises(KeyboardInterrupt):
            train(settings, pairs, seed=1, device=CPU, checkpoints=stopping)
        # the next run stops one epoch later and so starts where this one ended
    assert len(list(tmp_path.iterdir())) == 2
    resumed, resumed_history = train(settings, pairs, seed=1, device=CPU, checkpoints=Checkpoints(tmp_path, {"seed": "1"}, 0.0))
    assert resumed_history.epochs().equals(history.epochs())
    for ours, theirs in zip(resumed.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGUSR1, EXIT_CODE)])
def test_a_killed_or_interrupted_stage_writes_the_same_bytes_in_the_end(tmp_path: Path, number: int, code: int) -> None:
    """A real signal, at whatever moment it comes."""
    settings = with_options(BILSTM, epochs=40, prediction_draws=2, patience=30)
    inputs = write_inputs(tmp_path)
    build(settings, inputs, tmp_path / "whole")
    script = (
        "from pathlib import Path\n"
        "from hypernetwork_cases import build, write_inputs\n"
        "from test_hypernetwork_training import BILSTM, with_options\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "settings = with_options(BILSTM, epochs=40, prediction_draws=2, patience=30)\n"
        "build(settings, write_inputs(folder), folder / 'killed')\n"
    )
    folder = tmp_path / "killed" / "checkpoints"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parent, env=environment)
    while len(list(folder.glob("checkpoint-*.safetensors"))) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait() == code, "the run ended before the signal"
    assert not (tmp_path / "killed" / OUTPUTS[0]).exists()
    build(settings, inputs, tmp_path / "killed")
    for name in OUTPUTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == sorted(OUTPUTS)


def test_checkpoints_hold_no_word_vectors_and_are_written_when_due(tmp_path: Path) -> None:
    pairs = set_pairs()
    patient = Checkpoints(tmp_path / "none", {}, 10.0)
    train(BILSTM, pairs, seed=1, device=CPU, checkpoints=patient)
    assert not (tmp_path / "none").exists()
    stopping = Stopping(tmp_path, {}, 0.0)
    stopping.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        train(BILSTM, pairs, seed=1, device=CPU, checkpoints=stopping)
    tensors = read_tensors(stopping.path(3), STAGE)
    assert {name.split("/")[0] for name in tensors} <= {"model", "best", "optimizer", "history"}
    assert not [name for name, value in tensors.items() if WORDS in value.shape]
    stopping.clear()
    assert not tmp_path.exists()


def test_the_mlp_learns_and_its_networks_differ() -> None:
    pairs, words = set_pairs(300), word_vectors()
    starts = pairs.sets.starts
    means = np.stack([words.vectors[pairs.sets.words[a:b]].mean(axis=0) for a, b in pairwise(starts)])
    nearest = nearest_foreign(means, words.vectors, 4)
    unit = words.vectors / np.linalg.norm(words.vectors, axis=1, keepdims=True)
    cosines = means / np.linalg.norm(means, axis=1, keepdims=True) @ unit.T
    assert (nearest[:, 0] == cosines.argmax(axis=1)).all()
    scale = np.abs(pairs.targets).mean()
    examples = MeanPairs(
        means, pairs.targets / scale, np.full(RANK, scale, dtype=np.float32), nearest, words.vectors, pairs.split
    )
    options = MLPHypernetwork(
        kind="mlp", hidden=64, epochs=60, batch_size=64, dropout=0.0, neighbor_probability=0.0, validation=0.1, test=0.1
    )
    networks, histories = train_networks(options, examples, seed=0, device=CPU)
    again, _ = train_networks(options, examples, seed=0, device=CPU)
    assert len(networks) == len(histories) == 2
    weights = [network.skip.weight for network in (*networks, *again)]
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
    # adjacent seeds share no network
    next_seed, _ = train_networks(options.model_copy(update={"epochs": 1}), examples, seed=1, device=CPU)
    first, _ = train_networks(options.model_copy(update={"epochs": 1}), examples, seed=0, device=CPU)
    assert not any(torch.equal(one.skip.weight, other.skip.weight) for one in next_seed for other in first)
    last = histories[0].epochs().filter(pl.col("split") == "validation").sort("epoch")
    assert last["cosine"][-1] > 0.8
    assert last["l1"][-1] < 0.5 < last["l1"][0]
