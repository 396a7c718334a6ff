"""What every stage shares: its log, provenance and error messages."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from process_cases import python

from lexigraft.artifacts import Provenance, identity, write_text
from lexigraft.errors import InputError
from lexigraft.workflow.stage import plain, stage


class Named(dict[str, Any]):
    """A replacement for the named files and parameters of a Snakemake job."""

    __getattr__ = dict.__getitem__


@dataclass
class Files:
    """Some of a job's input."""

    both: list[Path]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "TQDM_DISABLE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("one.txt", "two.txt"):
        write_text(tmp_path / name, name)
    return SimpleNamespace(
        input=Named(text=str(tmp_path / "one.txt"), both=[str(tmp_path / "one.txt"), str(tmp_path / "two.txt")]),
        output=Named(table=str(tmp_path / "out" / "table.parquet")),
        params=Named(settings={"dim": 3, "names": ("a", "b")}, seed=4, code="c", lock="l"),
        log=[str(tmp_path / "logs" / "x.log")],
        threads=3,
    )


def test_files_are_paths_and_provenance_is_complete(job: SimpleNamespace, tmp_path: Path) -> None:
    with stage("factors", job) as running:
        assert running.input.text == tmp_path / "one.txt"
        assert running.input.both[1] == tmp_path / "two.txt"
        assert running.inputs_of(Files) == Files([tmp_path / "one.txt", tmp_path / "two.txt"])
        assert running.folder("table") == tmp_path / "out"
        assert running.params.settings == {"dim": 3, "names": ["a", "b"]}
        assert running.threads == 3
        assert os.environ["OMP_NUM_THREADS"] == "3"
        one, two = identity(tmp_path / "one.txt"), identity(tmp_path / "two.txt")
        assert running.provenance == Provenance(
            "factors", {"settings": {"dim": 3, "names": ["a", "b"]}}, 4, "c", "l", {"text": one, "both": f"{one} {two}"}
        )
        logging.info("halfway")
        print("printed")
    text = Path(job.log[0]).read_text()
    assert "stage factors on" in text
    assert "with 3 threads\n" in text
    assert "halfway" in text
    assert "printed" in text
    assert "stage factors done in" in text


def test_only_an_unexpected_error_has_a_traceback_in_the_log(job: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, stage("factors", job):
        raise InputError("no such thing", where="here", hint="do that")
    assert stopped.value.code == 1
    shown = capsys.readouterr().err
    assert "lexigraft: stage factors failed\nno such thing\n  where: here\n  what to do: do that" in shown
    assert "Traceback" not in shown + Path(job.log[0]).read_text()
    with pytest.raises(SystemExit), stage("factors", job):
        raise ZeroDivisionError("a bug")
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
    assert "Traceback" in Path(job.log[0]).read_text()


def test_parameters_become_plain_json_values() -> None:
    assert plain({"a": (1, None, True, 2.5, "x"), 3: [{"b": []}]}) == {"a": [1, None, True, 2.5, "x"], "3": [{"b": []}]}


def test_the_assigned_gpus_and_the_time_limit_signal_are_logged(job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with stage("factors", job):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert "with 3 threads and GPUs 2,3\n" in Path(job.log[0]).read_text()
    assert "received SIGUSR1: the job is close to its time limit" in Path(job.log[0]).read_text()
    assert signal.getsignal(signal.SIGUSR1) == before


def test_snakemake_and_its_shells_ignore_the_time_limit_signal() -> None:
    script = "kill -USR1 $PPID $$; echo alive; sh -c 'kill -USR1 $$; echo so is its child'"
    body = f"import subprocess; {{}}; subprocess.run(['bash', '-c', {script!r}], check=True)"
    ignoring = "from lexigraft.workflow.stage import ignore_time_limit_signal; ignore_time_limit_signal()"
    done = [python(body.format(first)) for first in (ignoring, "pass")]
    assert done[0].stdout.split("\n") == ["alive", "so is its child", ""], done[0].stderr
    assert done[1].returncode == -signal.SIGUSR1


def test_a_job_of_an_earlier_run_does_not_start(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its run was killed, and a later run has made the same files, perhaps with another configuration."""
    monkeypatch.setenv("LEXIGRAFT_RUN", "2000")
    for _ in range(2):  # a retry of the same run
        with stage("factors", job):
            pass
    later = Path(job.log[0]).read_text()
    assert later.startswith("run 2000\n")
    monkeypatch.setenv("LEXIGRAFT_RUN", "1000")
    with pytest.raises(SystemExit), stage("factors", job):
        pytest.fail("started")
    assert "not started: a later run has started the same job" in capsys.readouterr().err
    assert Path(job.log[0]).read_text() == later


def test_a_stage_publishes_nothing_after_it_was_started_again(job: SimpleNamespace, tmp_path: Path) -> None:
    def outrun() -> None:
        with stage("factors", job):
            write_text(tmp_path / "before.txt", "whole")
            assert python(_STARTED_AGAIN, job.log[0]).returncode == 0
            write_text(tmp_path / "after.txt", "late")

    with pytest.raises(SystemExit):
        outrun()
    assert (tmp_path / "before.txt").exists()
    assert not (tmp_path / "after.txt").exists()


_STARTED_AGAIN = """
import sys
from types import SimpleNamespace
from lexigraft.workflow.stage import stage
with stage("factors", SimpleNamespace(input={}, output={}, params={}, log=sys.argv[1:], threads=1)):
    pass
"""
