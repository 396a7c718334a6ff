"""Entries of a shared cache: the output files of one job in a folder, named by a digest of everything they depend on.

An entry is `<key>/` with the files and `manifest.json`. It is written to a hidden folder, flushed to disk, made read-only and
renamed, so an entry is either complete or absent, and an existing entry is never replaced. Reading an entry first verifies
sizes and digests of all its files.
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
    """Everything that the output of a job depends on, as JSON values.

    Attributes:
        rule: the name of its rule.
        wildcards, params: of the job; the params include digests of code and lock.
        inputs: name of each input -> identities of its files, in order.
        outputs: file names in the entry.
        software: the environment that Snakemake provides (content of a conda environment, address of an image), else "".
        platform: operating system, processor and Python version.
    """

    rule: str
    wildcards: Mapping[str, str]
    params: Mapping[str, Any]
    inputs: Mapping[str, Sequence[str]]
    outputs: Sequence[str]
    software: str
    platform: str

    def key(self) -> str:
        """SHA-256 of the recipe, as hex: the name of the entry."""
        return _key(asdict(self))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an entry: its size in bytes, the SHA-256 of its bytes, and its `identity`, which differs if it has a seal."""

    size: int
    sha256: str
    identity: str

    @property
    def is_sealed(self) -> bool:
        """Whether the file has a seal, by which readers detect alterations."""
        return self.identity != self.sha256


@dataclass(frozen=True, slots=True)
class Entry:
    """The manifest in `folder`: the recipe, the version of lexigraft that stored the entry, and its files by name."""

    folder: Path
    recipe: Mapping[str, Any]
    version: str
    files: Mapping[str, StoredFile]


def fetch(cache: Path, key: str) -> Entry | None:
    """The entry with this key, after verifying all its files; None if it does not exist.

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
    """Store local files as an entry, and replace those with equal bytes by links to it.

    Files without a seal remain copies. If another run stored the entry first, that entry is used. Local files are replaced only
    after the entry exists and has been read back; a local file with other bytes (measured times, results of another processor)
    remains.

    Raises:
        OSError: the cache cannot be written (permissions, full or read-only disk); the local files are unchanged.
        ArtifactError: the existing entry is damaged.
    """
    key = recipe.key()
    local = {} if (cache / key).exists() else _store(cache, key, recipe, outputs)
    if (entry := fetch(cache, key)) is None:  # removed in the meantime
        return
    for name, path in outputs.items():
        stored = entry.files[name]
        if stored.is_sealed and stored == (local.get(name) or _described(path)):
            _link(entry.folder / name, path)


def place(entry: Entry, name: str, path: Path) -> None:
    """Create a local file from a verified entry, atomically: a link, or a copy if the file has no seal."""
    if entry.files[name].is_sealed:
        _link(entry.folder / name, path)
    else:
        with (entry.folder / name).open("rb") as stored, atomic_file(path) as handle:
            shutil.copyfileobj(stored, handle, _BLOCK)


def read_entry(folder: Path) -> Entry:
    """Read the manifest of an entry, without reading its files (`verify` does).

    Raises:
        ArtifactError: the manifest is missing, cannot be read, or belongs to another entry.
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
        raise damaged(folder, "has the manifest of another entry")
    return entry


def verify(entry: Entry) -> None:
    """Read all files of an entry and compare them with its manifest.

    Raises:
        ArtifactError: a file is missing, has another size or was altered.
        OSError: a file cannot be read.
    """
    for name, stored in entry.files.items():
        path = entry.folder / name
        try:
            size = path.stat().st_size
            if size != stored.size:
                raise damaged(entry.folder, f"is damaged: {name} has {size} bytes, but {stored.size} were stored")
            with path.open("rb") as handle:
                if hashlib.file_digest(handle, "sha256").hexdigest() != stored.sha256:
                    raise damaged(entry.folder, f"is damaged: {name} was altered after it was stored")
        except FileNotFoundError:
            raise damaged(entry.folder, f"is damaged: {name} is missing") from None


def damaged(folder: Path, problem: str) -> ArtifactError:
    """The error for a damaged entry, with the command that repairs it."""
    return ArtifactError(
        f"entry of the shared cache {problem}",
        where=folder,
        hint=f"lexigraft cache verify {folder.parent} --remove, then run again: the entry is computed and stored again",
    )


def delete(folder: Path) -> None:
    """Delete a folder of the cache whose files are read-only.

    Raises:
        OSError: it could not be deleted completely.
    """
    with suppress(OSError):
        folder.chmod(0o700)
    shutil.rmtree(folder)


def _store(cache: Path, key: str, recipe: Recipe, files: Mapping[str, Path]) -> dict[str, StoredFile]:
    """Copy files into the cache, unless another run was first, and describe the copies."""
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
            _make_permanent(handle)
        _flush(temporary)
        temporary.chmod(0o555)
        try:
            temporary.rename(cache / key)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # otherwise another run was first
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
        _make_permanent(copy)
    # keep the original's time stamp: the clock of a file server may be ahead, and inputs must not look newer than outputs
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


def _make_permanent(handle: BinaryIO) -> None:
    """Flush a file to disk and make it read-only for everyone who has access to the cache, regardless of the umask."""
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
