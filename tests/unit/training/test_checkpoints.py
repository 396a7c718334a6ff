"""Checkpoints of any run: written, removed, skipped and refused; requests to stop; divergence."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from lexigraft.artifacts import Provenance, identity
from lexigraft.errors import ArtifactError, ConfigError, LexigraftError
from lexigraft.settings import Settings
from lexigraft.training.checkpoints import Checkpoints, fingerprint
from lexigraft.training.divergence import DivergedError, check_finite
from lexigraft.training.interruption import EXIT_CODE, SIGNALS, Interrupted, Interruption
from tests.small_disk import small_disk_at

RUN = {"seed": "1", "setting rate": "0.1"}


def checkpoints_of(folder: Path, **changes: str) -> Checkpoints:
    return Checkpoints(folder, {**RUN, **changes}, minutes=0.0)


def save(checkpoints: Checkpoints, *steps: int, needs: tuple[int, ...] = ()) -> None:
    for step in steps:
        checkpoints.save(step, {"model/a": np.full(3, step)}, [one for one in needs if one < step], drawn={"tur": step})


def test_a_checkpoint_is_due_when_the_minutes_are_over_and_comes_back(tmp_path: Path) -> None:
    assert [Checkpoints(tmp_path, {}, minutes).due for minutes in (0.0, 10.0, None)] == [True, False, False]
    checkpoints = checkpoints_of(tmp_path / "state")
    assert checkpoints.newest() == 0
    save(checkpoints, 7)
    assert checkpoints_of(tmp_path / "state").newest() == 7
    assert checkpoints.read(7)["model/a"].tolist() == [7, 7, 7]
    assert checkpoints.read(7, ["model/a"]).keys() == {"model/a"}
    assert checkpoints.metadata(7) == {"step": 7, "needs": [], "drawn": {"tur": 7}, "fingerprint": RUN}


def test_the_last_two_and_those_that_they_need_stay(tmp_path: Path) -> None:
    checkpoints = checkpoints_of(tmp_path)
    save(checkpoints, 1, 2, 3, 4, needs=(2,))
    assert checkpoints.steps() == [2, 3, 4]
    save(checkpoints, 5, 6)
    assert checkpoints.steps() == [5, 6]


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "missing"])
def test_a_checkpoint_is_skipped_if_it_or_one_that_it_needs_is_damaged(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = checkpoints_of(tmp_path)
    save(checkpoints, 1, 2)
    save(checkpoints, 3, needs=(2,))
    content = bytearray(checkpoints.path(2).read_bytes())
    content[-1] ^= 1
    checkpoints.path(2).write_bytes({"truncated": content[:50], "altered": content}.get(damage, b""))
    if damage == "missing":
        checkpoints.path(2).unlink()
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest() == 0
    assert "checkpoint of step 3 is skipped: that of step 2, which it needs, is lost or damaged" in caplog.text
    assert ("checkpoint of step 2 is skipped: artifact" in caplog.text) == (damage != "missing")
    # a damaged later one does not count as one of the last two
    save(checkpoints, 1)
    save(checkpoints, 2)
    assert checkpoints.steps() == [1, 2, 3]
    assert checkpoints.newest() == 3


def test_checkpoints_of_another_run_are_refused_and_stay(tmp_path: Path) -> None:
    save(checkpoints_of(tmp_path), 1, 2)
    other = checkpoints_of(tmp_path, seed="2", code="new")
    with pytest.raises(ConfigError, match=r"are of a run that differs in: code, seed(.|\n)*delete the folder") as caught:
        other.newest()
    assert str(tmp_path) in str(caught.value)
    assert other.steps() == [1, 2]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "disk", 1 << 16) as disk:
        checkpoints = checkpoints_of(disk.folder / "state")
        save(checkpoints, 1)
        message = r"checkpoint of step 2 \(0.00 GB\) could not be written: No space left(.|\n)*that of step 1|step 1 is whole"
        with pytest.raises(LexigraftError, match=message):
            checkpoints.save(2, {"a": np.zeros(1 << 17)})
        assert checkpoints.newest() == 1


def test_clearing_removes_checkpoints_and_leaves_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    save(checkpoints_of(folder), 1, 2)
    (folder / ".checkpoint-00000009.safetensors.x.part").write_bytes(b"half")
    checkpoints_of(folder).clear()
    assert not folder.exists()
    save(checkpoints_of(folder), 1)
    (folder / "notes.txt").write_text("mine")
    checkpoints_of(folder).clear()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_fingerprint_names_settings_files_and_code(tmp_path: Path) -> None:
    class Options(Settings):
        rate: float = 0.5
        save_every: int = 3

    path = tmp_path / "data"
    path.write_bytes(b"x")
    found = fingerprint(
        Options(), {"save_every"}, {"data": path}, 7, Provenance("s", code="c", lock="l"), source_languages="eng"
    )
    assert found == {
        **{"setting rate": "0.5", "data": identity(path), "source languages": "eng"},
        **{"seed": "7", "code": "c", "pinned versions": "l"},
    }
    path.unlink()
    with pytest.raises(ArtifactError, match="does not exist"):
        fingerprint(Options(), (), {"data": path}, 7, Provenance("s"))


def test_signals_are_noted_and_an_interrupted_run_exits_with_75(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in SIGNALS:
        before = signal.getsignal(number)
        with Interruption().watched() as interruption:
            assert not interruption.requested
            os.kill(os.getpid(), number)
            assert interruption.requested
        assert signal.getsignal(number) == before
    by_file = Interruption(tmp_path / "stop")
    assert not by_file.requested
    (tmp_path / "stop").touch()
    assert by_file.requested
    with pytest.raises(SystemExit) as caught:
        raise Interrupted(5, tmp_path, "epoch")
    assert caught.value.code == EXIT_CODE == 75
    assert f"the checkpoint of epoch 5 is in {tmp_path}" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_an_error(value: float) -> None:
    check_finite("training diverged at step 3", "lower it", loss=1.0, gradient_norm=0.0)
    with pytest.raises(
        DivergedError, match=f"training diverged at step 3: loss 1.0, gradient norm {value}, in batch 2"
    ) as caught:
        check_finite(
            "training diverged at step 3", "lower it", lambda: (", in batch 2", "a.file"), loss=1.0, gradient_norm=value
        )
    assert (caught.value.where, caught.value.hint) == ("a.file", "lower it")
