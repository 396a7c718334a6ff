"""Runs that are killed, told to stop, or run out of disk: what they leave, and how they end when they go on."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_cases import (
    LONG,
    SEED,
    history,
    run,
    same_files,
    steps_kept,
    vocabulary,
    write_shards,
    write_vocabulary,
)
from torch.nn.modules.module import register_module_forward_hook

from lexigraft.artifacts import Provenance, read_provenance, read_tensors
from lexigraft.errors import ConfigError, LexigraftError
from lexigraft.modeling.factorized import FactorizedEmbedding
from lexigraft.pretraining.checkpoints import STAGE, Place, checkpoint_path, newest_checkpoint, read_place, save_checkpoint
from lexigraft.pretraining.interruption import EXIT_CODE, Interrupted, Interruption
from lexigraft.pretraining.trainable import GROUPS
from lexigraft.tokenizers.vocabulary import Vocabulary

TIMES = 20


@pytest.fixture(scope="module")
def uninterrupted(pretraining_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(pretraining_inputs, tmp_path_factory.mktemp("uninterrupted"), **LONG)


def at_pass(number: int, act: Any) -> None:
    """Call `act` once the input table has been looked up so many times."""
    passes = 0

    def count(module: object, _args: object, _output: object) -> None:
        nonlocal passes
        passes += isinstance(module, FactorizedEmbedding)
        if passes == number:
            act()

    register_module_forward_hook(count)


# trying the head out in `prepare` and in `train` takes two each, and held-out losses of steps 0 and 2 three each
BEFORE = 2 * 2 + 2 * 3


def run_and_die(inputs: Path, out: Path) -> None:
    """`run`, killed with signal 9 in the middle of step 9."""
    at_pass(BEFORE + 2 * 8 + 1, lambda: os.kill(os.getpid(), signal.SIGKILL))
    run(inputs, out, **LONG)


def run_and_be_told(inputs: Path, out: Path, number: int) -> None:
    """`run`, which gets a signal in the middle of step 6."""
    at_pass(BEFORE + 2 * 5 + 1, lambda: os.kill(os.getpid(), number))
    run(inputs, out, **{**LONG, "save_every": 50})


def run_and_die_often(inputs: Path, out: Path) -> None:
    """Begin `run` again and again, each time killed after a random moment, until it is through.

    How long a moment lasts adapts to the machine, so that some die before their first step and some go on from a checkpoint.
    """
    rng = np.random.default_rng(0)
    killed, resumed, longest, through = 0, 0, 0.6, False
    while not through:
        dying = killed < TIMES or resumed < TIMES // 2
        before = steps_kept(out)
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
            longest *= 1.2 if steps_kept(out) == before else 1
        elif dying:
            # it was through too soon: once more from the start, and killed sooner
            shutil.rmtree(out)
            longest *= 0.8
        else:
            through = True
    print(f"killed {killed} times, {resumed} times after a checkpoint")


def in_python(call: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    body = f"import test_pretraining_resumption as t; {call}"
    return subprocess.run([sys.executable, "-c", body], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def interrupted(pretraining_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State of a run that was killed."""
    out = tmp_path_factory.mktemp("interrupted")
    done = in_python(f"t.run_and_die(t.Path({str(pretraining_inputs)!r}), t.Path({str(out)!r}))")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list(out.glob("step-*"))
    return out


@pytest.fixture
def killed(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of the killed run's state, to go on from."""
    return shutil.copytree(interrupted, tmp_path / "killed")


class TestKilled:
    def test_a_killed_run_ends_with_the_same_bytes(self, pretraining_inputs: Path, uninterrupted: Path, killed: Path) -> None:
        (killed / ".languages.parquet.w2s4lsyi.part").write_bytes(b"PAR1")  # what a kill while a table is written leaves
        run(pretraining_inputs, killed, **LONG)
        assert same_files(killed, uninterrupted)
        assert history(killed)["step"].to_list() == list(range(1, 21))
        assert history(killed, "speed")["step"].to_list() == list(range(1, 21))

    def test_killed_at_twenty_random_moments_it_ends_with_the_same_bytes(
        self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "often"
        done = in_python(f"t.run_and_die_often(t.Path({str(pretraining_inputs)!r}), t.Path({str(out)!r}))")
        assert done.returncode == 0, done.stderr
        killed, resumed = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
        assert killed >= TIMES
        assert resumed >= TIMES // 2
        assert same_files(out, uninterrupted)

    @pytest.mark.parametrize("step", [3, 5, 8])
    def test_every_option_goes_on_as_well(self, pretraining_inputs: Path, tmp_path: Path, step: int) -> None:
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

        passes = 0

        def stop(module: object, _args: object, _output: object) -> None:
            nonlocal passes
            # training steps look a sequence up once a micro-batch, with gradients
            passes += isinstance(module, FactorizedEmbedding) and torch.is_grad_enabled() and module.training
            if passes == 2 * step:
                raise Stopped

        handle = register_module_forward_hook(stop)
        try:
            with pytest.raises(Stopped):
                run(pretraining_inputs, tmp_path / "stopped", **changes)
        finally:
            handle.remove()
        assert steps_kept(tmp_path / "stopped")[-1] == step - 1
        assert same_files(run(pretraining_inputs, tmp_path / "stopped", **changes), whole)

    def test_only_the_last_two_and_the_named_are_kept(self, killed: Path) -> None:
        assert steps_kept(killed) == [2, 6, 8]

    def test_a_checkpoint_says_where_it_stands(self, killed: Path) -> None:
        place = read_place(killed / "state", 8)
        assert (place.step, place.position, place.seed) == (8, 16, SEED)
        assert sum(place.drawn.values()) == 16
        assert set(place.drawn) == {"swh_Latn", "tur_Latn"}
        names = {name.split("/")[0] for name in read_tensors(checkpoint_path(killed / "state", 8), STAGE)}
        assert names == {"model", "optimizer", "history", "speed", "held_out"}

    @pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
    def test_a_damaged_checkpoint_is_skipped(
        self, pretraining_inputs: Path, uninterrupted: Path, killed: Path, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = checkpoint_path(killed / "state", 8)
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes({"truncated": content[: len(content) // 2], "altered": content, "empty": b""}[damage])
        with caplog.at_level(logging.INFO):
            run(pretraining_inputs, killed, **LONG)
        assert "checkpoint of step 8 is skipped: artifact " in caplog.text
        assert "going on after step 6" in caplog.text
        assert same_files(killed, uninterrupted)

    def test_new_checkpoints_are_kept_beside_damaged_later_ones(self, killed: Path) -> None:
        state = killed / "state"
        fingerprint = read_provenance(checkpoint_path(state, 2))["parameters"]["fingerprint"]
        tensors = read_tensors(checkpoint_path(state, 2), STAGE)
        for step in (6, 8):
            checkpoint_path(state, step).write_bytes(b"")
        for step in (3, 4, 5):
            save_checkpoint(state, Place(step, 2 * step, {}, SEED), tensors, fingerprint, [2, 20])
        assert steps_kept(killed) == [2, 4, 5, 6, 8]
        assert newest_checkpoint(state, fingerprint, [2, 20]) == 5

    def test_without_the_checkpoint_of_a_named_step_it_starts_before(
        self, pretraining_inputs: Path, uninterrupted: Path, killed: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        checkpoint_path(killed / "state", 2).unlink()
        with caplog.at_level(logging.INFO):
            run(pretraining_inputs, killed, **LONG)
        assert "that of step 2, whose model is wanted, is lost" in caplog.text
        assert "from the start" in caplog.text
        assert same_files(killed, uninterrupted)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"mask_probability": 0.2}, "setting mask_probability"),
            ({"provenance": Provenance("pretraining", code="other")}, "code"),
            ({"model": True}, "model"),
            ({"data": True}, "data"),
            ({"vocabulary": True}, "vocabulary"),
        ],
    )
    def test_state_of_another_run_is_refused(
        self, pretraining_inputs: Path, killed: Path, tmp_path: Path, changes: dict[str, Any], told: str
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
        with pytest.raises(ConfigError, match=f"differs in: {told}") as caught:
            run(given_inputs, killed, **{**LONG, **changes})
        assert f"delete the folder {killed / 'state'}" in str(caught.value)
        assert steps_kept(killed)

    def test_a_place_that_is_not_the_runs_is_refused(self, pretraining_inputs: Path, killed: Path) -> None:
        path = checkpoint_path(killed / "state", 8)
        fingerprint = read_provenance(path)["parameters"]["fingerprint"]
        tensors = read_tensors(path, STAGE)
        moved = Place(8, 17, {"swh_Latn": 17, "tur_Latn": 0}, SEED)
        save_checkpoint(killed / "state", moved, tensors, fingerprint, [2, 20])
        with pytest.raises(ConfigError, match="stands at sequence 17, this run at 16"):
            run(pretraining_inputs, killed, **LONG)

    @pytest.mark.parametrize("changes", [{"save_every": 50}, {"save_minutes": None}])
    def test_when_checkpoints_are_written_makes_no_other_run(
        self, pretraining_inputs: Path, uninterrupted: Path, killed: Path, changes: dict[str, Any]
    ) -> None:
        assert same_files(run(pretraining_inputs, killed, **LONG, **changes), uninterrupted)

    def test_checkpoints_by_the_clock(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        rates = dict.fromkeys(GROUPS, 1e38)
        with pytest.raises(LexigraftError, match="diverged at step 2"):
            run(pretraining_inputs, tmp_path, learning_rates=rates, save_every=50, save_minutes=1e-6, checkpoints=[8])
        assert steps_kept(tmp_path) == [1]

    def test_what_a_killed_process_was_writing_is_removed(
        self, pretraining_inputs: Path, killed: Path, uninterrupted: Path
    ) -> None:
        (killed / "state" / ".checkpoint-00000009.safetensors.x.part").write_bytes(b"half")
        (killed / "state" / "stop").touch()
        run(pretraining_inputs, killed, **LONG)
        assert same_files(killed, uninterrupted)

    def test_foreign_files_in_the_folder_stay(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "notes.txt").write_text("mine")
        run(pretraining_inputs, tmp_path)
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["notes.txt"]


class TestToldToStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
    def test_a_signal_writes_a_checkpoint_and_the_run_goes_on(
        self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
    ) -> None:
        done = in_python(f"t.run_and_be_told(t.Path({str(pretraining_inputs)!r}), t.Path({str(tmp_path)!r}), {int(number)})")
        assert done.returncode == EXIT_CODE == 75, done.stderr
        assert steps_kept(tmp_path) == [2, 6]
        assert not (tmp_path / "step-20").exists()
        run(pretraining_inputs, tmp_path, **LONG)
        assert same_files(tmp_path, uninterrupted)

    def test_a_file_that_asks_to_stop(self, pretraining_inputs: Path, uninterrupted: Path, tmp_path: Path) -> None:
        state = tmp_path / "state"

        def ask() -> None:
            while not checkpoint_path(state, 2).exists():
                time.sleep(0.001)
            (state / "stop").touch()

        asking = threading.Thread(target=ask)
        asking.start()
        with pytest.raises(Interrupted) as caught:
            run(pretraining_inputs, tmp_path, **LONG)
        asking.join()
        assert caught.value.code == EXIT_CODE
        assert caught.value.step in steps_kept(tmp_path)
        run(pretraining_inputs, tmp_path, **LONG)
        assert same_files(tmp_path, uninterrupted)

    def test_signals_are_given_back(self, tmp_path: Path) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with Interruption(tmp_path / "stop").watched() as interruption:
            assert signal.getsignal(signal.SIGTERM) != before
            os.kill(os.getpid(), signal.SIGUSR1)
            assert interruption.asked
        assert signal.getsignal(signal.SIGTERM) == before
