"""Jobs of a workflow that use the shared cache, and its maintenance commands."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shared_cache_cases import make_files, no_software, recipe

from lexigraft.cli import main
from lexigraft.errors import ConfigError
from lexigraft.shared_cache.entries import share
from lexigraft.shared_cache.jobs import SharedCache
from lexigraft.shared_cache.maintenance import DAY, entries, expired
from lexigraft.workflow.code_digests import installed_otherwise


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def a_job(folder: Path, **changed: Any) -> Any:
    (folder / "in.txt").write_text("text") if not (folder / "in.txt").exists() else None
    parts = {
        "rule": SimpleNamespace(name="factors"),
        "wildcards": {"dim": "8"},
        "params": {"dim": 8, "code": "c", "lock": "l"},
        "input": {"text": str(folder / "in.txt")},
        "output": {"table": str(folder / "table.parquet"), "notes": [str(folder / "note.txt")]},
    }
    return type("Job", (), {**parts, **changed})()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "lexigraft").mkdir(parents=True)
    (folder / "lexigraft" / "a.py").write_text("x = 1")
    (folder / "requirements.lock").write_text("pytest==" + pytest.__version__)
    return folder


def test_a_stored_job_is_fetched_by_another_checkout(cache: Path, checkout: Path, tmp_path: Path) -> None:
    shared = SharedCache(str(cache), checkout, no_software)
    job = a_job(tmp_path)
    assert not shared.fetch(job)
    make_files(tmp_path)
    assert shared.store(job) is None
    other = tmp_path / "other"
    other.mkdir()
    assert SharedCache(str(cache), checkout, no_software).fetch(a_job(other))
    assert (other / "note.txt").read_text() == "note 1"
    assert not SharedCache(str(cache), checkout, lambda _: "numpy=2").fetch(a_job(other))
    (other / "in.txt").write_text("another text")
    assert not shared.fetch(a_job(other))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("in.txt", "an input changed while the job ran"),
        ("checkout/lexigraft/a.py", "the code has changed since Snakemake was started"),
        ("checkout/requirements.lock", "the code has changed since Snakemake was started"),
    ],
)
def test_a_job_whose_inputs_or_code_changed_is_not_stored(
    cache: Path, checkout: Path, tmp_path: Path, path: str, reason: str
) -> None:
    shared, job = SharedCache(str(cache), checkout, no_software), a_job(tmp_path)
    assert not shared.fetch(job)
    make_files(tmp_path)
    (tmp_path / path).write_text("changed while the job ran")
    assert shared.store(job) == reason
    assert list(cache.iterdir()) == []
    assert (tmp_path / "note.txt").read_text() == "note 1"


def test_a_job_that_ran_with_other_packages_than_the_lock_is_not_stored(cache: Path, checkout: Path, tmp_path: Path) -> None:
    (checkout / "requirements.lock").write_text("PyTest==0.1  # old\nnot-installed==1\nnumpy==0.2 ; python_version < '3'\n")
    assert [line.split()[0] for line in installed_otherwise(checkout / "requirements.lock")] == ["numpy", "pytest"]
    shared, job = SharedCache(str(cache), checkout, no_software), a_job(tmp_path)
    assert not shared.fetch(job)
    make_files(tmp_path)
    assert str(shared.store(job)).startswith("installed packages differ from requirements.lock: numpy ")
    assert list(cache.iterdir()) == []


def test_a_cache_must_be_given_and_be_an_absolute_path_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="is not an absolute path"):
        SharedCache("cache", tmp_path, no_software)
    with pytest.raises(ConfigError, match="nowhere' is not a folder"):
        SharedCache(str(tmp_path / "nowhere"), tmp_path, no_software)
    monkeypatch.delenv("SNAKEMAKE_OUTPUT_CACHE", raising=False)
    assert main(["cache", "ls"]) == 1
    assert "no shared cache is given" in capsys.readouterr().err


def test_the_oldest_entries_are_removed_first(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    for index, days in enumerate((30, 20, 10)):
        share(cache, recipe(rule=f"rule_{index}"), make_files(tmp_path))
        os.utime(cache / recipe(rule=f"rule_{index}").key(), (now, now - days * DAY))
    found = entries(cache)
    assert [item.entry.recipe["rule"] for item in found if item.entry] == ["rule_0", "rule_1", "rule_2"]
    assert [item.entry.recipe["rule"] for item in expired(found, now, 15, None) if item.entry] == ["rule_0", "rule_1"]
    assert expired(found, now, None, found[1].size + found[2].size) == [found[0]]
    assert expired(found, now, None, None) == []

    assert main(["cache", "gc", str(cache), "--older-than", "15"]) == 0
    assert "nothing is changed without --remove" in capsys.readouterr().out
    assert len(entries(cache)) == 3
    assert main(["cache", "gc", str(cache), "--older-than", "15", "--remove"]) == 0
    assert main(["cache", "ls", str(cache)]) == 0
    printed = capsys.readouterr().out
    assert "rule_2 dim=8" in printed.splitlines()[-2]
    assert printed.splitlines()[-1].startswith("1 entries")
