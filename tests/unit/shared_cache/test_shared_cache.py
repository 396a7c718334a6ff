"""Entries of a shared cache: complete or absent, verified before use, reported when damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_cache_cases import make_files, recipe

from lexigraft.artifacts import Provenance, check, identity, read_table, write_table
from lexigraft.cli import main
from lexigraft.errors import ArtifactError
from lexigraft.shared_cache.entries import Entry, fetch, place, share
from lexigraft.shared_cache.maintenance import DAY, entries, leftovers, remove


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def stored(cache: Path, tmp_path: Path) -> Entry:
    share(cache, recipe(), make_files(tmp_path))
    entry = fetch(cache, recipe().key())
    assert entry is not None
    return entry


def overwrite(path: Path, content: bytes) -> None:
    path.parent.chmod(0o755)
    path.chmod(0o644)
    path.write_bytes(content)


def test_stored_files_become_links_and_unsealed_files_copies(stored: Entry, tmp_path: Path) -> None:
    assert (tmp_path / "table.parquet").resolve() == stored.folder / "table.parquet"
    assert not (tmp_path / "note.txt").is_symlink()
    assert read_table(tmp_path / "table.parquet", "factors")["a"].to_list() == [1] * 100
    for path in [stored.folder, *stored.folder.iterdir()]:
        assert path.stat().st_mode & 0o222 == 0
    for name in stored.files:
        elsewhere = tmp_path / "new" / name
        place(stored, name, elsewhere)
        assert elsewhere.is_symlink() == (name == "table.parquet")
        assert elsewhere.read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": "source"},
        {"wildcards": {"dim": "9"}},
        {"params": {"dim": 8, "code": "d", "lock": "l"}},
        {"params": {"dim": 8, "code": "c", "lock": "m"}},
        {"params": {"dim": 9, "code": "c", "lock": "l"}},
        {"inputs": {"weights": ["2"]}},
        {"inputs": {"vectors": ["1"]}},
        {"inputs": {"weights": ["1", "1"]}},
        {"outputs": ["table.parquet"]},
        {"software": "numpy=2"},
        {"platform": "there"},
    ],
)
def test_every_part_of_a_recipe_changes_the_key(stored: Entry, changed: dict[str, Any]) -> None:
    assert fetch(stored.folder.parent, recipe(**changed).key()) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)
    )
)
def test_the_key_of_a_recipe_survives_a_json_round_trip(params: Any) -> None:
    made = recipe(params={"value": params})
    assert made.key() == recipe(params=json.loads(json.dumps({"value": params}))).key()
    assert made.key() != recipe(params={"value": [params]}).key()


def damage(stored: Entry, how: str) -> None:
    table, manifest = stored.folder / "table.parquet", stored.folder / "manifest.json"
    content = table.read_bytes()
    if how == "altered":
        overwrite(table, content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif how == "truncated":
        overwrite(table, content[:-1])
    elif how == "missing":
        table.parent.chmod(0o755)
        table.unlink()
    elif how == "note altered":
        overwrite(stored.folder / "note.txt", b"note 2")
    elif how == "another artifact":
        other = stored.folder.parent.parent / "other.parquet"
        write_table(other, pl.DataFrame({"a": [2] * 100}), Provenance("factors"))
        overwrite(table, other.read_bytes())
    elif how == "no manifest":
        table.parent.chmod(0o755)
        manifest.unlink()
    elif how == "broken manifest":
        overwrite(manifest, manifest.read_bytes()[:-20])
    elif how == "another's manifest":
        overwrite(manifest, manifest.read_bytes().replace(b'"here"', b'"hers"'))
    elif how == "list as manifest":
        overwrite(manifest, b"[]")


HOWS = ["altered", "truncated", "missing", "note altered", "another artifact"]
MANIFESTS = ["no manifest", "broken manifest", "another's manifest", "list as manifest"]


@pytest.mark.parametrize("how", [*HOWS, *MANIFESTS])
def test_a_damaged_entry_is_reported_and_can_be_repaired(
    stored: Entry, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = stored.folder.parent
    damage(stored, how)
    with pytest.raises(ArtifactError, match="entry of the shared cache") as caught:
        fetch(cache, stored.folder.name)
    assert str(stored.folder) in str(caught.value)
    assert f"lexigraft cache verify {cache} --remove" in str(caught.value)

    assert main(["cache", "verify", str(cache)]) == 1
    assert stored.folder.name in capsys.readouterr().err
    assert main(["cache", "verify", str(cache), "--remove"]) == 0
    assert list(cache.iterdir()) == []
    assert fetch(cache, stored.folder.name) is None
    (tmp_path / "again").mkdir()
    share(cache, recipe(), make_files(tmp_path / "again"))
    assert main(["cache", "verify", str(cache)]) == 0
    # the old link points to the new entry
    assert read_table(tmp_path / "table.parquet", "factors")["a"].to_list() == [1] * 100


@pytest.mark.parametrize("how", ["altered", "truncated", "another artifact"])
def test_damage_is_detected_when_reading_through_a_link(stored: Entry, how: str, tmp_path: Path) -> None:
    damage(stored, how)
    with pytest.raises(ArtifactError) as caught:
        check(tmp_path / "table.parquet", "factors")
    assert f"a link to the shared cache's {stored.folder}/table.parquet" in str(caught.value)
    assert f"lexigraft cache verify {stored.folder.parent} --remove" in str(caught.value)
    if how == "another artifact":
        with pytest.raises(ArtifactError, match="was overwritten: it is not the file that was stored"):
            identity(tmp_path / "table.parquet")


def test_a_second_run_uses_the_existing_entry(stored: Entry, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    share(stored.folder.parent, recipe(), make_files(tmp_path / "same"))
    share(stored.folder.parent, recipe(), make_files(tmp_path / "other", number=2))
    assert (tmp_path / "same" / "table.parquet").resolve().parent == stored.folder
    # the bytes differ, so the local file remains
    assert not (tmp_path / "other" / "table.parquet").is_symlink()
    assert read_table(tmp_path / "other" / "table.parquet", "factors")["a"][0] == 2
    assert fetch(stored.folder.parent, stored.folder.name) == stored
    assert [path.name for path in stored.folder.parent.iterdir()] == [stored.folder.name]


def test_a_run_killed_while_storing_leaves_no_visible_entry(cache: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            share(cache, recipe(outputs=["pipe.parquet"]), {"pipe.parquet": pipe})
        os._exit(0)
    with pipe.open("wb") as writer:  # blocks until the child reads, halfway through storing
        writer.write(b"half")
        writer.flush()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    key = recipe(outputs=["pipe.parquet"]).key()
    (left,) = cache.iterdir()
    assert left.name.startswith(".storing-")
    assert fetch(cache, key) is None
    assert entries(cache) == []
    # another process may still be writing there: it is removed after a day
    assert leftovers(cache, time.time()) == []
    assert leftovers(cache, time.time() + 2 * DAY) == [left]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_local_files_are_unchanged_if_storing_fails(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """The test raises the system's error itself; tests/workflow uses a real full and a real read-only disk."""

    def refuse(_: int) -> None:
        raise OSError(error, os.strerror(error))

    outputs = make_files(tmp_path)
    before = {name: path.read_bytes() for name, path in outputs.items()}
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(error)):
        share(cache, recipe(), outputs)
    assert list(cache.iterdir()) == []
    assert {name: path.read_bytes() for name, path in outputs.items()} == before
    assert not any(path.is_symlink() for path in outputs.values())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with access for every user (pytest's own folders are private)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def act_as(user: int, group: int, function: Callable[[], object]) -> int:
    """Exit code of a child process that calls a function as another user, with a umask that lets nobody else read."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([group])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.umask(0o077)
            function()
            os._exit(0)
        except PermissionError:
            os._exit(13)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")
def test_members_of_a_group_use_each_others_entries_and_can_repair_them(open_folder: Path) -> None:
    a, b, stranger, group, others = 60001, 60002, 60004, 60003, 60005
    cache = open_folder / "cache"
    cache.mkdir()
    os.chown(cache, 0, group)
    cache.chmod(0o2770)

    def make_files_of(user: int) -> None:
        folder = open_folder / str(user)
        folder.mkdir(exist_ok=True)
        make_files(folder)
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, user)

    make_files_of(a)
    make_files_of(b)
    outputs = {user: {name: open_folder / str(user) / name for name in ("note.txt", "table.parquet")} for user in (a, b)}
    key = recipe().key()

    def read() -> None:
        entry = fetch(cache, key)
        assert entry is not None
        for name, output in outputs[b].items():
            place(entry, name, output)

    assert act_as(a, group, lambda: share(cache, recipe(), outputs[a])) == 0
    assert (cache / key).stat().st_uid == a
    assert act_as(b, group, read) == 0
    assert (open_folder / str(b) / "table.parquet").resolve().parent == cache / key
    # nobody can write through the link, not even the user who stored the entry, and others cannot read it
    assert act_as(a, group, lambda: (open_folder / str(a) / "table.parquet").write_bytes(b"x")) == 13
    assert act_as(b, group, lambda: (open_folder / str(b) / "table.parquet").write_bytes(b"x")) == 13
    assert act_as(stranger, others, read) == 13

    overwrite(cache / key / "table.parquet", b"x")
    (cache / key).chmod(0o555)
    assert act_as(b, group, lambda: remove(cache / key)) == 0
    assert fetch(cache, key) is None
    make_files_of(b)
    assert act_as(b, group, lambda: share(cache, recipe(), outputs[b])) == 0
    assert (cache / key).stat().st_uid == b
    # the entry that b could only rename
    (left,) = leftovers(cache, time.time())
    assert act_as(a, group, lambda: remove(left)) == 0
    assert leftovers(cache, time.time()) == []
