"""Runs that are killed or asked to stop: their checkpoints, and the same bytes in the end once they continue."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_cases import LONG, checkpoint_steps, history, run, same_files, vocabulary, write_shards, write_vocabulary
from process_cases import at_pass, python

from lexigraft.artifacts import Provenance
from lexigraft.errors import ConfigError, LexigraftError
from lexigraft.modeling.factorized import FactorizedEmbedding
from lexigraft.pretraining.optimizer import GROUPS
from lexigraft.tokenizers.vocabulary import Vocabulary
from lexigraft.training.checkpoints import Checkpoints
from lexigraft.training.interruption import EXIT_CODE

TIMES = 20
CALL = "import sys; from pathlib import Path; from test_pretraining_resumption import *; "


def looks_up(module: Any) -> bool:
    return isinstance(module, FactorizedEmbedding)


# trying the head out in `prepare` and in `train` takes two each, and held-out losses of steps 0 and 2 three each
BEFORE = 2 * 2 + 2 * 3


def run_and_die(inputs: Path, out: Path) -> None:
    """`run`, killed with signal 9 in the middle of step 9."""
    at_pass(BEFORE + 2 * 8 + 1, looks_up, lambda: os.kill(os.getpid(), signal.SIGKILL))
    run(inputs, out, **LONG)


def run_and_receive(inputs: Path, out: Path, number: int) -> None:
    """`run`, which gets a signal in the middle of step 6."""
    at_pass(BEFORE + 2 * 5 + 1, looks_up, lambda: os.kill(os.getpid(), number))
    run(inputs, out, **{**LONG, "save_every": 50})


def run_and_die_often(inputs: Path, out: Path) -> None:
    """Begin `run` again and again, each time killed after a random moment, until it is through.

    How long a moment lasts adapts to the machine, so that some die before their first step and some continue from a checkpoint.
    """
    rng = np.random.default_rng(0)
    killed, resumed, longest, through = 0, 0, 0.6, False
    while not through:
        dying = killed < TIMES or resumed < TIMES // 2
        before = checkpoint_steps(out)
        child = os.fork()
        if child == 0:
            run(inputs, out, **{**LONG, "save_every": 1})
            os._exit(0)
        if dying:
            time.sleep(rng.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), f"the run failed with code {code}"
        if code == -signal.SIGKILL:
            killed += 1
            resumed += bool(before)
            longest *= 1.2 if checkpoint_steps(out) == before else 1
        elif dying:
            # it was through too soon: once more from the start, and killed sooner
            shutil.rmtree(out)
            longest *= 0.8
        else:
            through = True
    print(f"killed {killed} times, {resumed} times after a checkpoint")


@pytest.fixture(scope="module")
def interrupted(pretraining_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State of a killed run."""
    out = tmp_path_factory.mktemp("interrupted")
    done = python(f"{CALL}run_and_die(*map(Path, sys.argv[1:]))", pretraining_inputs, out)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list(out.glob("step-*"))
    return out


@pytest.fixture
def killed(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of the killed run's state, to continue from."""
    return shutil.copytree(interrupted, tmp_path / "killed")


class TestKilled:
    def test_a_killed_run_ends_with_the_same_bytes_and_without_its_unfinished_files(
        self, pretraining_inputs: Path, uninterrupted: Path, killed: Path
    ) -> None:
        (killed / ".languages.parquet.w2s4lsyi.part").write_bytes(b"PAR1")  # what a kill while a table is written leaves
        (killed / "state" / ".checkpoint-00000009.safetensors.x.part").write_bytes(b"half")
        (killed / "state" / "stop").touch()
        run(pretraining_inputs, killed, **LONG)
        assert same_files(killed, uninterrupted)
        assert history(killed)["step"].to_list() == list(range(1, 21))
        assert history(killed, "speed")["step"].to_list() == list(range(1, 21))

    def test_killed_at_twenty_random_moments_it_ends_with_the_same_bytes(
        self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "often"
        done = python(f"{CALL}run_and_die_often(*map(Path, sys.argv[1:]))", pretraining_inputs, out)
        assert done.returncode == 0, done.stderr
        killed, resumed = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
        assert killed >= TIMES
        assert resumed >= TIMES // 2
        assert same_files(out, uninterrupted)

    @pytest.mark.parametrize("step", [3, 5, 8])
    def test_a_run_with_every_option_continues_as_well(self, pretraining_inputs: Path, tmp_path: Path, step: int) -> None:
        """Stopped in a phase and at the step after it, whose moments of the encoder begin there."""
        rates = {"encoder": 0, "bias": 1e-2}
        changes: dict[str, Any] = {
            "phases": [{"until": 4, "learning_rates": rates}, {"until": 9, "learning_rates": {"head": 0}}, {"until": 12}],
            **{"steps": 12, "checkpoints": [5, 12], "schedule": "cosine", "warmup_steps": 3, "weight_decay": 0.1},
            **{"sampling_exponent": 0.5, "buffer": 7, "whole_words": True, "activation_checkpointing": True},
            **{"evaluate_every": 2, "save_every": 1, "batch_size": 1, "accumulation": 2},
        }
        whole = run(pretraining_inputs, tmp_path / "whole", **changes)

        class Stopped(Exception):
            pass

        def stop() -> None:
            raise Stopped

        # training steps look a sequence up once per micro-batch, with gradients
        handle = at_pass(2 * step, lambda module: looks_up(module) and torch.is_grad_enabled() and module.training, stop)
        try:
            with pytest.raises(Stopped):
                run(pretraining_inputs, tmp_path / "stopped", **changes)
        finally:
            handle.remove()
        assert checkpoint_steps(tmp_path / "stopped")[-1] == step - 1
        assert same_files(run(pretraining_inputs, tmp_path / "stopped", **changes), whole)

    def test_the_last_two_checkpoints_and_those_of_named_steps_hold_the_position_in_the_data(self, killed: Path) -> None:
        assert checkpoint_steps(killed) == [2, 6, 8]
        checkpoints = Checkpoints(killed / "state", {})
        metadata = checkpoints.metadata(8)
        assert (metadata["step"], metadata["needs"]) == (8, [2])
        assert sum(metadata["drawn"].values()) == 16
        assert set(metadata["drawn"]) == {"swh_Latn", "tur_Latn"}
        names = {name.split("/")[0] for name in checkpoints.read(8)}
        assert names == {"model", "optimizer", "history", "speed", "held_out"}

    def test_without_the_checkpoint_of_a_named_step_it_starts_before_that_step(
        self, pretraining_inputs: Path, uninterrupted: Path, killed: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        Checkpoints(killed / "state", {}).path(2).unlink()
        with caplog.at_level(logging.INFO):
            run(pretraining_inputs, killed, **LONG)
        assert "that of step 2, which it needs, is lost" in caplog.text
        assert "from the start" in caplog.text
        assert same_files(killed, uninterrupted)

    @pytest.mark.parametrize(
        ("changes", "differing"),
        [
            ({"mask_probability": 0.2}, "setting mask_probability"),
            ({"provenance": Provenance("pretraining", code="other")}, "code"),
            ({"model": True}, "model"),
            ({"data": True}, "data"),
            ({"vocabulary": True}, "vocabulary"),
        ],
    )
    def test_state_of_another_run_is_refused(
        self, pretraining_inputs: Path, killed: Path, tmp_path: Path, changes: dict[str, Any], differing: str
    ) -> None:
        given_inputs = pretraining_inputs
        if changes.keys() & {"model", "data", "vocabulary"}:
            given_inputs = shutil.copytree(pretraining_inputs, tmp_path / "inputs")
        if changes.pop("model", False):
            shutil.rmtree(given_inputs / "step-0")
            shutil.copytree(
                run(pretraining_inputs, tmp_path / "other", steps=1, checkpoints=[1]) / "step-1", given_inputs / "step-0"
            )
        if changes.pop("data", False):
            write_shards(given_inputs, seed=7)
        if changes.pop("vocabulary", False):
            plain = vocabulary()
            other = Vocabulary(plain.tokens, plain.surfaces, plain.roles, plain.counts + 1)
            write_vocabulary(given_inputs / "vocabulary.parquet", other)
        with pytest.raises(ConfigError, match=f"differs in: {differing}") as caught:
            run(given_inputs, killed, **{**LONG, **changes})
        assert f"delete the folder {killed / 'state'}" in str(caught.value)
        assert checkpoint_steps(killed)

    def test_a_position_that_is_not_the_runs_is_refused(self, pretraining_inputs: Path, killed: Path) -> None:
        checkpoints = Checkpoints(killed / "state", Checkpoints(killed / "state", {}).metadata(8)["fingerprint"])
        checkpoints.save(8, checkpoints.read(8), [2], drawn={"swh_Latn": 17, "tur_Latn": 0})
        with pytest.raises(ConfigError, match=r"step 8 is at other sequences .*17.* than this run"):
            run(pretraining_inputs, killed, **LONG)

    @pytest.mark.parametrize("changes", [{"save_every": 50}, {"save_minutes": None}])
    def test_settings_of_checkpoints_may_change_between_attempts(
        self, pretraining_inputs: Path, uninterrupted: Path, killed: Path, changes: dict[str, Any]
    ) -> None:
        assert same_files(run(pretraining_inputs, killed, **LONG, **changes), uninterrupted)

    def test_checkpoints_are_written_after_some_minutes(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        rates = dict.fromkeys(GROUPS, 1e38)
        with pytest.raises(LexigraftError, match="diverged at step 2"):
            run(pretraining_inputs, tmp_path, learning_rates=rates, save_every=50, save_minutes=1e-6, checkpoints=[8])
        assert checkpoint_steps(tmp_path) == [1]


class TestAskedToStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
    def test_a_signal_writes_a_checkpoint_from_which_the_run_continues(
        self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
    ) -> None:
        done = python(f"{CALL}run_and_receive(*map(Path, sys.argv[1:]), {int(number)})", pretraining_inputs, tmp_path)
        assert done.returncode == EXIT_CODE == 75, done.stderr
        assert checkpoint_steps(tmp_path) == [2, 6]
        assert not (tmp_path / "step-20").exists()
        run(pretraining_inputs, tmp_path, **LONG)
        assert same_files(tmp_path, uninterrupted)
