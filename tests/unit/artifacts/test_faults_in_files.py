"""Files without a seal, outdated writers, full disks, and the command that verifies all artifacts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from process_cases import python

from lexigraft.artifacts import (
    Provenance,
    atomic_file,
    check_companion,
    claim,
    identity,
    read_provenance,
    remove_leftovers,
    sealed_page,
    verify,
    with_companions,
    write_tensors,
    write_text,
)
from lexigraft.artifacts.verifying import check_page
from lexigraft.cli import main
from lexigraft.errors import ArtifactError
from lexigraft.workflow.run_context import configuration_of_run
from tests.small_disk import small_disk_at

CONFIG = '{"model_type": "bert", "pad_token_id": 0}\n'
ONE = {"one": np.ones(3, dtype=np.float32)}


def write_folder(folder: Path) -> Path:
    """A folder with weights and their companion file."""
    write_text(folder / "config.json", CONFIG)
    write_tensors(folder / "model.safetensors", ONE, with_companions(Provenance("source"), folder, ["config.json"]))
    return folder / "config.json"


def test_an_artifact_stores_the_digests_of_its_companions_if_it_has_any(tmp_path: Path) -> None:
    path = write_folder(tmp_path)
    assert read_provenance(tmp_path / "model.safetensors")["companions"] == {"config.json": identity(path)}
    check_companion(path)
    write_tensors(tmp_path / "x.safetensors", ONE, Provenance("source"))
    keys = {"format_version", "stage", "parameters", "seed", "code", "lock", "inputs"}
    assert set(read_provenance(tmp_path / "x.safetensors")) == keys


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, len(CONFIG) - 1), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_to_a_companion_is_detected(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int, cut: bool
) -> None:
    path = write_folder(tmp_path_factory.mktemp("plain"))
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content[:position] if cut else content)
    with pytest.raises(ArtifactError, match=r"config\.json") as caught:
        check_companion(path)
    assert caught.value.where == path
    assert "delete the file and run snakemake again" in str(caught.value)


def test_files_without_a_stored_digest_pass(tmp_path: Path) -> None:
    write_text(tmp_path / "notes.txt", "mine")
    write_text(tmp_path / "model.safetensors", "no safetensors at all")
    (tmp_path / "words.parquet").mkdir()
    check_companion(tmp_path / "notes.txt")
    check_companion(tmp_path / "missing.json")


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace("a", "b", 1), lambda text: text + " "])
def test_a_page_is_sealed(tmp_path: Path, damage: Callable[[str], str]) -> None:
    path = tmp_path / "report.html"
    page = sealed_page("<html>\n<p>a page ü</p>\n</html>")
    write_text(path, page)
    check_page(path)
    write_text(path, damage(page))
    with pytest.raises(ArtifactError, match="was altered"):
        check_page(path)


def test_verify_counts_each_file_once_and_reports_every_damaged_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_folder(tmp_path / "one")
    write_folder(tmp_path / "two")
    assert main(["verify", str(tmp_path)]) == 0
    assert "4 files, none damaged" in capsys.readouterr().out
    assert verify([config, config, tmp_path / "two" / "model.safetensors"]) == 2
    config.write_text("{}")
    weights = tmp_path / "two" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert main(["verify", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert str(config) in message
    assert str(weights) in message
    assert "delete these files" in message
    assert str(tmp_path / "one" / "model.safetensors") not in message
    assert main(["verify", str(tmp_path / "three")]) == 1


def test_a_process_publishes_nothing_after_its_job_was_started_again(tmp_path: Path) -> None:
    log, out = tmp_path / "job.log", tmp_path / "out.txt"
    log.write_text("first")
    with claim(log):
        write_text(out, "first")
        log.unlink()  # Snakemake does this before it starts the job again
        write_text(out, "between")
        log.write_text("second")
        with pytest.raises(ArtifactError, match="started again"):
            write_text(out, "late")
    assert out.read_text() == "between"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log", "out.txt"]
    write_text(out, "later, outside")


def test_child_processes_publish_nothing_after_the_job_was_started_again(tmp_path: Path) -> None:
    log, out = tmp_path / "job.log", tmp_path / "out.txt"
    log.write_text("first")
    code = "import sys; from pathlib import Path; from lexigraft.artifacts import *; write_text(Path(sys.argv[1]), 'late')"
    with claim(log):
        assert python(code, out).returncode == 0
        log.rename(tmp_path / "old.log")
        log.write_text("second")
        out.unlink()
        assert python(code, out).returncode == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "make room"), (errno.EACCES, "writable"), (errno.EROFS, "writable")]
)
def test_a_refused_write_raises_an_error_with_a_hint(tmp_path: Path, number: int, hint: str) -> None:
    with pytest.raises(ArtifactError, match=hint) as caught, atomic_file(tmp_path / "out.txt"):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == tmp_path / "out.txt"
    assert list(tmp_path.iterdir()) == []
    # an error of reading elsewhere in the body passes through
    with pytest.raises(PermissionError), atomic_file(tmp_path / "out" / "out.txt"):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "in" / "in.txt"))


def test_a_full_disk_leaves_only_the_old_file(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "disk", 64 << 10) as disk:
        path = disk.folder / "x.safetensors"
        write_tensors(path, ONE, Provenance("source"))
        before = path.read_bytes()
        with pytest.raises(ArtifactError, match="make room on this disk") as caught:
            write_tensors(path, {"many": np.ones(1_000_000, dtype=np.float32)}, Provenance("source"))
        assert caught.value.where == path
        assert path.read_bytes() == before
        assert list(disk.folder.iterdir()) == [path]


def test_only_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "a[1].parquet"
    for name in (".a[1].parquet.abcd.part", ".a1.parquet.abcd.part", "a[1].parquet", "a[1].parquet.part"):
        (tmp_path / name).touch()
    remove_leftovers(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a1.parquet.abcd.part", "a[1].parquet", "a[1].parquet.part"]


def test_jobs_use_the_configuration_their_run_was_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (0, 21):
        monkeypatch.setenv(f"LEXIGRAFT_CONFIGURATION_{module}", "")
    first = {"run": "a", "sizes": {1: 2, "x": (1, 2)}, "text": "ü: {}"}
    edited = {"run": "b"}
    assert configuration_of_run(edited, is_head=False) == edited  # a job started by hand
    assert configuration_of_run(first, is_head=True) == first
    given = configuration_of_run(edited, is_head=False)
    assert given == {**first, "sizes": {1: 2, "x": [1, 2]}}
    assert list(given) == list(first)  # pages and tables use this order
    assert configuration_of_run(edited, is_head=True) == edited
    assert configuration_of_run(first, is_head=False) == edited
    assert configuration_of_run(first, is_head=True, module=21) == first  # a second module of the workflow
    assert configuration_of_run({}, is_head=False) == edited
    large = {"run": "c", "noise": [hash(str(number)) for number in range(100_000)]}
    assert configuration_of_run(large, is_head=True) == large
    assert configuration_of_run(edited, is_head=False) == edited  # the large one does not fit into the environment
