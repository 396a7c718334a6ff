"""Entries of a shared cache: the output files of one job in a folder of their own, named by what they follow from.

An entry is `<key>/` with the files and `manifest.json`. It is written as a hidden folder beside its place, flushed to disk,
made read-only and renamed, so there is a whole entry or none, and nobody's entry is ever replaced. Reading an entry verifies
sizes and digests of all of its files first.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lexigraft import __version__
from lexigraft.artifacts import atomic_file, identity
from lexigraft.errors import ArtifactError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
KEY = re.compile(r"[0-9a-f]{64}")
UNFINISHED = ".storing-"
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that the output of a job follows from, as JSON values.

    Attributes:
        rule: its name.
        wildcards, params: of the job, digests of code and lock among them.
        inputs: name of each input -> identities of its files, in order.
        outputs: names that the files have in an entry.
        software: what Snakemake provides to run the job in (content of a conda environment, address of an image), else "".
        platform: system, processor and Python.
    """

    rule: str
    wildcards: Mapping[str, str]
    params: Mapping[str, Any]
    inputs: Mapping[str, Sequence[str]]
    outputs: Sequence[str]
    software: str
    platform: str

    def key(self) -> str:
        """SHA-256 over all of it, as hex: the name of the entry."""
        return _key(asdict(self))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an entry: its size in bytes, the SHA-256 of its bytes, and its `identity`, another one if it has a seal."""

    size: int
    sha256: str
    identity: str

    @property
    def is_sealed(self) -> bool:
        """Whether readers of the file notice by themselves that it was altered."""
        return self.identity != self.sha256


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest in `folder` says: the recipe, the version of lexigraft that stored it, and the files by name."""

    folder: Path
    recipe: Mapping[str, Any]
    version: str
    files: Mapping[str, StoredFile]


def fetch(cache: Path, key: str) -> Entry | None:
    """The entry of this name after verifying all of its files, or None where there is none.

    Raises:
        ArtifactError: the entry is damaged.
        OSError: it cannot be read.
    """
    folder = cache / key
    try:
        folder.stat()
    except FileNotFoundError:
        return None
    entry = read_entry(folder)
    verify(entry)
    return entry


def share(cache: Path, recipe: Recipe, outputs: Mapping[str, Path]) -> None:
    """Store local files as an entry, and put links to it in their place where the bytes are the same.

    Files without a seal stay copies. Whoever comes second keeps the first's entry. Local files are replaced only after the
    entry stands and was read back; where it has other bytes (measured times, numbers of another processor), the local file
    stays.

    Raises:
        OSError: the cache cannot be written (permission, full or read-only disk); the local files are as they were.
        ArtifactError: the entry that stands already is damaged.
    """
    key = recipe.key()
    local = {}
    if not (cache / key).exists():
        local = _store(cache, key, recipe, outputs)
    if (entry := fetch(cache, key)) is None:  # removed meanwhile
        return
    for name, path in outputs.items():
        stored = entry.files[name]
        if stored.is_sealed and stored == (local.get(name) or _described(path)):
            _link(entry.folder / name, path)


def place(entry: Entry, name: str, path: Path) -> None:
    """Put a file of a verified entry into its local place, as a link, or as a copy if it has no seal, in one step."""
    if entry.files[name].is_sealed:
        _link(entry.folder / name, path)
    else:
        with (entry.folder / name).open("rb") as stored, atomic_file(path) as handle:
            shutil.copyfileobj(stored, handle, _BLOCK)


def read_entry(folder: Path) -> Entry:
    """What an entry says it holds, without reading its files (`verify` does).

    Raises:
        ArtifactError: its manifest is missing, cannot be read, or is that of another entry.
    """
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        if found["format_version"] != FORMAT_VERSION:
            raise damaged(folder, f"has format version {found['format_version']}, this lexigraft reads {FORMAT_VERSION}")
        files = {str(name): StoredFile(**described) for name, described in found["files"].items()}
        entry = Entry(folder, found["recipe"], found["version"], files)
        whole = _key(entry.recipe) == folder.name and list(files) == sorted(entry.recipe["outputs"])
    except FileNotFoundError:
        raise damaged(folder, "has no manifest") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(folder, f"has a manifest that cannot be read ({type(error).__name__}: {error})") from error
    if not whole:
        raise damaged(folder, "has a manifest that is not its own")
    return entry


def verify(entry: Entry) -> None:
    """Read all files of an entry and compare them with its manifest.

    Raises:
        ArtifactError: a file is missing, of another size or altered.
        OSError: a file cannot be read.
    """
    for name, stored in entry.files.items():
        path = entry.folder / name
        try:
            size = path.stat().st_size
            if size != stored.size:
                raise damaged(entry.folder, f"is damaged: {name} has {size} bytes, and {stored.size} were stored")
            with path.open("rb") as handle:
                if hashlib.file_digest(handle, "sha256").hexdigest() != stored.sha256:
                    raise damaged(entry.folder, f"is damaged: {name} was altered, its bytes are not those that were stored")
        except FileNotFoundError:
            raise damaged(entry.folder, f"is damaged: {name} is missing") from None


def damaged(folder: Path, problem: str) -> ArtifactError:
    """The error that an entry is not what was stored, with the way to repair it."""
    return ArtifactError(
        f"entry of the shared cache {problem}",
        where=folder,
        hint=f"lexigraft cache verify {folder.parent} --remove, then run again: the entry is computed and stored anew",
    )


def delete(folder: Path) -> None:
    """Delete a folder of the cache whose files are read-only; what cannot be deleted is left.

    Raises:
        OSError: it could not be deleted as a whole.
    """
    with suppress(OSError):
        folder.chmod(0o700)
    shutil.rmtree(folder)


def _store(cache: Path, key: str, recipe: Recipe, files: Mapping[str, Path]) -> dict[str, StoredFile]:
    """Put copies into the cache, unless somebody else was first, and describe what was copied."""
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=UNFINISHED))
    try:
        stored = {name: _copy(files[name], temporary / name) for name in sorted(files)}
        manifest = {
            "format_version": FORMAT_VERSION,
            "version": __version__,
            "recipe": asdict(recipe),
            "files": {name: asdict(described) for name, described in stored.items()},
        }
        with (temporary / MANIFEST).open("xb") as handle:
            handle.write((json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
            _settle(handle)
        _flush(temporary)
        temporary.chmod(0o555)
        try:
            temporary.rename(cache / key)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # else another run was first
                raise
        _flush(cache)
    finally:
        if temporary.exists():
            with suppress(OSError):
                delete(temporary)
    return stored


def _copy(source: Path, target: Path) -> StoredFile:
    digest = hashlib.sha256()
    with source.open("rb") as original, target.open("xb") as copy:
        while block := original.read(_BLOCK):
            digest.update(block)
            copy.write(block)
        _settle(copy)
    # with the date of the original, so that a clock of a file server that is ahead never makes an input look newer
    times = source.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    return StoredFile(target.stat().st_size, digest.hexdigest(), identity(source))


def _described(path: Path) -> StoredFile:
    with path.open("rb") as handle:
        return StoredFile(path.stat().st_size, hashlib.file_digest(handle, "sha256").hexdigest(), identity(path))


def _link(stored: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    link = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    link.symlink_to(stored)
    link.replace(path)


def _settle(handle: BinaryIO) -> None:
    """Flush a file to disk and make it read-only: whoever may enter the cache may read it, whatever the writer's umask."""
    handle.flush()
    os.fsync(handle.fileno())
    os.fchmod(handle.fileno(), 0o444)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
