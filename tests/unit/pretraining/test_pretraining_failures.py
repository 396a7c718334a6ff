"""A loss that is not finite, a disk that fills: the message, the saved batch, and the files that remain."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path

import pytest
import torch
from pretraining_cases import LONG, checkpoint_steps, history, job, run, same_files, write_folder, write_inputs

from lexigraft.artifacts import check, read_metadata, read_table, read_tensors
from lexigraft.errors import InputError, LexigraftError
from lexigraft.modeling.load import load_model
from lexigraft.pretraining.failures import disk_full
from lexigraft.pretraining.optimizer import GROUPS
from lexigraft.training.checkpoints import STAGE, Checkpoints
from tests.small_disk import small_disk_at

CHECKPOINT = 500_000
"""Bytes, a little more than a checkpoint of the tiny model has."""


def inputs_with_bias(folder: Path, bias: float) -> Path:
    """Inputs of a run whose model has the same output bias for most tokens."""
    write_inputs(folder)
    model = load_model(folder / "step-0")
    with torch.no_grad():
        model.get_output_embeddings().bias[20:] = bias  # type: ignore[no-untyped-call]
    shutil.rmtree(folder / "step-0")
    write_folder(folder, model)
    return folder


class TestDiverged:
    def test_the_batch_is_saved_and_the_checkpoints_stay(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        with pytest.raises(LexigraftError, match="diverged at step 2: loss nan") as caught:
            run(pretraining_inputs, tmp_path, learning_rates=dict.fromkeys(GROUPS, 1e38), save_every=1)
        assert "lower `learning_rates`" in str(caught.value)
        assert "first in micro-batch 0" in str(caught.value)
        path = tmp_path / "state" / "diverged-step-00000002-process-0.safetensors"
        assert str(path) in str(caught.value)
        assert read_metadata(path) == {"step": 2, "micro_batches": [0, 1, 2, 3], "not_finite": [0, 1, 2, 3]}
        tensors = read_tensors(path, "pretraining_diverged")
        assert tensors["micro_batch_3/input_ids"].shape == (2, 16)
        assert len(tensors["micro_batch_3/labels"]) == len(tensors["micro_batch_3/positions"])
        assert checkpoint_steps(tmp_path) == [1]
        assert not list(tmp_path.glob("step-*"))

    def test_an_infinite_loss_stops_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(LexigraftError, match="diverged at step 1: loss inf") as caught:
            run(inputs_with_bias(tmp_path / "inputs", -math.inf), tmp_path / "out")
        assert "the initialized model or its data are broken" in str(caught.value)
        assert [path.name for path in (tmp_path / "out" / "state").iterdir()] == [
            "diverged-step-00000001-process-0.safetensors"
        ]

    def test_a_model_that_gives_nan_is_not_trained(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is NaN before anything is trained"):
            run(inputs_with_bias(tmp_path / "inputs", math.nan), tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestFullDisk:
    def test_the_last_good_checkpoint_stays_and_the_run_continues_from_it(
        self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "disk"
        message = r"checkpoint of step \d+ .* could not be written: No space left"
        with small_disk_at(out, 2 * CHECKPOINT) as disk:
            with pytest.raises(LexigraftError, match=message) as caught:
                run(pretraining_inputs, out, **LONG)
            whole = checkpoint_steps(out)
            assert whole
            assert f"the checkpoint of step {whole[-1]} is whole" in str(caught.value)
            assert not list(out.rglob("*.part"))
            for step in whole:
                check(Checkpoints(out / "state", {}).path(step), STAGE)
            disk.grow(200 * CHECKPOINT)
            run(pretraining_inputs, out, **LONG)
            assert same_files(out, uninterrupted)

    def test_checkpoints_stay_if_the_models_do_not_fit_on_the_disk(
        self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        out = tmp_path / "out"
        with small_disk_at(out / "step-20", 4096) as disk:
            message = "training is done, but the models could not be written: No space left"
            with pytest.raises(LexigraftError, match=message) as caught:
                run(pretraining_inputs, out, **LONG)
            assert "no step is repeated" in str(caught.value)
            assert not (out / "step-20" / "model.safetensors").exists()
            disk.grow(100 * CHECKPOINT)
            with caplog.at_level(logging.INFO):
                run(pretraining_inputs, out, **LONG)
            assert "continuing after step 20" in caplog.text
            assert same_files(out, uninterrupted)

    def test_other_errors_of_the_system_stay_as_they_are(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), disk_full(job(pretraining_inputs, tmp_path)):
            (tmp_path / "missing").read_bytes()


def test_the_tables_are_written_at_every_checkpoint(pretraining_inputs: Path, tmp_path: Path) -> None:
    """A run that diverges leaves them."""
    phases = [{"until": 1}, {"until": 8, "learning_rates": dict.fromkeys(GROUPS, 1e38)}]
    with pytest.raises(LexigraftError, match="diverged at step 3"):
        run(pretraining_inputs, tmp_path, phases=phases, save_every=1, evaluate_every=1)
    for name, rows in {"history": 2, "speed": 2, "held_out": 6}.items():
        table = read_table(tmp_path / "state" / f"{name}.parquet", "pretraining")
        assert len(table) == rows
        assert table["step"][-1] == 2
    done = run(pretraining_inputs, tmp_path / "done")
    assert history(done)["loss"][:2].equals(read_table(tmp_path / "state" / "history.parquet", "pretraining")["loss"])
    assert not (done / "state").exists()
