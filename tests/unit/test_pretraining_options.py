"""Options of a run: what they change, what they leave as it is, and what is told of each step."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_cases import (
    history,
    run,
    same_files,
    weights,
)

from lexigraft.pretraining.watch import duration


class TestOptions:
    def test_the_seed_decides_and_dropout_is_drawn(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        with_dropout, without = run(pretraining_inputs, tmp_path / "a"), run(pretraining_inputs, tmp_path / "b", dropout=0.0)
        assert (history(with_dropout)["loss"] != history(without)["loss"]).any()
        torch.manual_seed(99)  # whatever was drawn before
        assert same_files(with_dropout, run(pretraining_inputs, tmp_path / "c"))

    def test_the_callers_generator_is_left_alone(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        run(pretraining_inputs, tmp_path, steps=1, checkpoints=[1])
        assert torch.equal(torch.rand(3), expected)

    def test_bfloat16_follows_float32(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        full, half = run(pretraining_inputs, tmp_path / "a"), run(pretraining_inputs, tmp_path / "b", precision="bfloat16")
        assert (history(full)["loss"] != history(half)["loss"]).any()
        assert np.allclose(history(full)["loss"], history(half)["loss"], rtol=0.02)
        assert all(value.dtype == np.float32 for value in weights(half, 8).values())

    @pytest.mark.parametrize("changes", [{"activation_checkpointing": True}, {"attention": "eager"}])
    def test_how_it_is_computed_changes_rounding_alone(
        self, pretraining_inputs: Path, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        without, with_it = (
            run(pretraining_inputs, tmp_path / "a", dropout=0.0),
            run(pretraining_inputs, tmp_path / "b", dropout=0.0, **changes),
        )
        assert np.allclose(history(without)["loss"], history(with_it)["loss"], rtol=1e-5)
        assert history(without)["step"].equals(history(with_it)["step"])

    def test_activations_are_computed_again(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        passes: list[int] = []

        def note(module: object, _args: object, _output: object) -> None:
            if type(module).__name__ == "BertIntermediate":
                passes.append(1)

        counts = []
        for again in (False, True):
            handle = torch.nn.modules.module.register_module_forward_hook(note)
            passes.clear()
            changes = {"steps": 1, "checkpoints": [1], "held_out_sequences": 0}
            run(pretraining_inputs, tmp_path / str(again), activation_checkpointing=again, **changes)
            handle.remove()
            counts.append(len(passes))
        assert counts[1] - counts[0] == 2 * 4  # two layers, four micro-batches

    def test_a_compiled_encoder_trains_the_same(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        changes = {"steps": 2, "checkpoints": [2], "dropout": 0.0}
        plain = run(pretraining_inputs, tmp_path / "a", **changes)
        with torch.compiler.set_stance("force_eager"):  # everything but the compiler itself, which takes minutes on a CPU
            compiled = run(pretraining_inputs, tmp_path / "b", compile=True, **changes)
        assert np.allclose(history(plain)["loss"], history(compiled)["loss"], rtol=1e-6)

    def test_every_step_is_told_and_timed(
        self, pretraining_inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            out = run(pretraining_inputs, tmp_path)
        assert "step 8 of 8: loss " in caplog.text
        assert "tokens/s, 0 s left" in caplog.text
        assert "held-out loss after step 3: mean of languages " in caplog.text
        speed = history(out, "speed")
        assert speed["step"].to_list() == list(range(1, 9))
        assert (speed["tokens_per_second"] > 0).all()
        assert speed["seconds_left"][-1] == 0

    @pytest.mark.parametrize(("seconds", "told"), [(12, "12 s"), (600, "10 min"), (3 * 3600 + 300, "3 h 05 min")])
    def test_durations(self, seconds: float, told: str) -> None:
        assert duration(seconds) == told

    def test_tensorboard_files(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        out = run(pretraining_inputs, tmp_path, tensorboard=True)
        assert list((out / "tensorboard").glob("events.*"))
