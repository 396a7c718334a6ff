"""Options of a run: what they change and what not, and what is shown and recorded of each step."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_cases import history, run, same_files, weights

from lexigraft.pretraining.optimizer import GROUPS
from lexigraft.pretraining.progress_log import ProgressLog, duration
from lexigraft.training.interruption import Interrupted


@contextmanager
def stopped_after(state: Path, step: int) -> Iterator[None]:
    """Ask a run to stop when it has shown `step`."""
    show = ProgressLog.step

    def show_and_ask(self: ProgressLog, number: int, *args: Any) -> None:
        show(self, number, *args)
        if number == step:
            (state / "stop").touch()

    ProgressLog.step = show_and_ask  # type: ignore[method-assign]
    try:
        yield
    finally:
        ProgressLog.step = show  # type: ignore[method-assign]


class TestOptions:
    def test_dropout_follows_from_the_seed(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        with_dropout, without = run(pretraining_inputs, tmp_path / "a"), run(pretraining_inputs, tmp_path / "b", dropout=0.0)
        assert (history(with_dropout)["loss"] != history(without)["loss"]).any()
        torch.manual_seed(99)  # whatever was drawn before
        assert same_files(with_dropout, run(pretraining_inputs, tmp_path / "c"))

    def test_bfloat16_follows_float32(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        full, half = run(pretraining_inputs, tmp_path / "a"), run(pretraining_inputs, tmp_path / "b", precision="bfloat16")
        assert (history(full)["loss"] != history(half)["loss"]).any()
        assert np.allclose(history(full)["loss"], history(half)["loss"], rtol=0.02)
        assert all(value.dtype == np.float32 for value in weights(half, 8).values())

    @pytest.mark.parametrize(
        "changes", [{"activation_checkpointing": True, "dropout": 0.3}, {"attention": "eager", "dropout": 0.0}]
    )
    def test_options_of_computation_change_nothing_but_rounding(
        self, pretraining_inputs: Path, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        """What dropout leaves out is the same when activations are computed again."""
        without, with_it = (
            run(pretraining_inputs, tmp_path / "a", dropout=changes["dropout"]),
            run(pretraining_inputs, tmp_path / "b", **changes),
        )
        for column in ("loss", "gradient_norm"):
            assert np.allclose(history(without)[column], history(with_it)[column], rtol=1e-5)
        assert history(without)["step"].equals(history(with_it)["step"])

    @pytest.mark.parametrize(("attention", "used"), [(None, True), ("sdpa", True), ("eager", False)])
    def test_attention_is_torchs_fused_one_unless_another_is_asked_for(
        self, pretraining_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attention: str | None, used: bool
    ) -> None:
        calls: list[int] = []
        fused = torch.nn.functional.scaled_dot_product_attention

        def noted(*args: Any, **options: Any) -> torch.Tensor:
            calls.append(1)
            return fused(*args, **options)

        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
        run(pretraining_inputs, tmp_path, steps=1, checkpoints=[1], attention=attention)
        assert bool(calls) == used

    def test_activation_checkpointing_computes_activations_twice(self, pretraining_inputs: Path, tmp_path: Path) -> None:
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

    def test_a_compiled_encoder_trains_the_same(
        self, pretraining_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All of torch.compile but the generation of code, which takes minutes on a CPU."""
        graphs: list[bool] = []

        def backend(graph: torch.fx.GraphModule, _inputs: Any) -> Any:
            graphs.append(torch.is_grad_enabled())
            return graph.forward

        phases = [{"until": 1, "learning_rates": {"encoder": 0}}, {"until": 2}]
        changes = {"steps": 2, "checkpoints": [2], "dropout": 0.0, "phases": phases}
        plain = run(pretraining_inputs, tmp_path / "a", **changes)
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
        compiled = run(pretraining_inputs, tmp_path / "b", compile=True, **changes)
        assert np.allclose(history(plain)["loss"], history(compiled)["loss"], rtol=1e-6)
        assert np.allclose(history(plain, "held_out")["loss"], history(compiled, "held_out")["loss"], rtol=1e-6)
        assert graphs
        assert all(graphs)  # what is measured without gradients is not compiled

    def test_every_step_is_logged_and_timed(
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

    @pytest.mark.parametrize(("seconds", "text"), [(12, "12 s"), (600, "10 min"), (3 * 3600 + 300, "3 h 05 min")])
    def test_durations_are_readable(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text

    def test_a_bar_on_a_terminal(
        self, pretraining_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        terminal = io.StringIO()
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.delenv("TQDM_DISABLE", raising=False)
        with caplog.at_level(logging.INFO):
            out = run(pretraining_inputs, tmp_path)
        shown = terminal.getvalue()
        assert "pre-training: 100%" in shown
        assert "8/8" in shown
        assert f"loss {history(out)['loss'][0]:.3f}, lr 1.0e-03, norm " in shown
        assert "tokens/s" in shown
        assert "step 8 of 8" not in caplog.text

    def test_tensorboard_files(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        """The values of the tables, before and after an interruption."""
        from tensorboard.backend.event_processing import event_accumulator as accumulator

        options = {"tensorboard": True, "evaluate_every": 2}
        (tmp_path / "state").mkdir()
        with pytest.raises(Interrupted), stopped_after(tmp_path / "state", 5):
            run(pretraining_inputs, tmp_path, **options)
        out = run(pretraining_inputs, tmp_path, **options)
        events = accumulator.EventAccumulator(str(out / "tensorboard")).Reload()
        table, held_out = history(out), history(out, "held_out")

        def logged(name: str) -> list[tuple[int, float]]:
            return [(event.step, event.value) for event in events.Scalars(name)]

        wanted = {"loss": table["loss"], "gradient_norm": table["gradient_norm"]}
        wanted |= {f"learning_rate/{group}": table["learning_rate"] for group in GROUPS}
        for name, values in wanted.items():
            assert [step for step, _ in logged(name)] == list(range(1, 9))
            assert [value for _, value in logged(name)] == pytest.approx(values.to_list(), rel=1e-5)
        assert [step for step, _ in logged("tokens_per_second")] == list(range(1, 9))
        for (language,), part in held_out.group_by("language"):
            assert [step for step, _ in logged(f"held_out/{language}")] == part["step"].to_list()
            assert [value for _, value in logged(f"held_out/{language}")] == pytest.approx(part["loss"].to_list(), rel=1e-5)
