"""The seal of an artifact and its provenance: where each format stores them, how they are written and verified."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from lexigraft.artifacts.atomic import atomic_file
from lexigraft.errors import ArtifactError

FORMAT_VERSION = 1
PROVENANCE_KEY = "lexigraft"
METADATA_KEY = "lexigraft.metadata"
SEAL_KEY = "lexigraft.sha256"
_UNSEALED = b"0" * 64
_PARQUET, _ARROW = b"PAR1", b"ARROW1"
ARROW_SEAL = f"{SEAL_KEY}="
"""In the footer of an Arrow file a value may come before its key, so the value repeats the key."""
_BLOCK = 1 << 22
_LONGEST_HEADER = 100_000_000
"""Maximum size of a header or footer in bytes: the limit of the safetensors format, far more than lexigraft writes."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an artifact was made from.

    Attributes:
        stage: name of the stage that made it; readers check this name.
        parameters: the resolved parameters, JSON values only.
        seed: the seed, None for stages without randomness.
        code: digest of the library modules that the stage imports.
        lock: digest of the pinned versions.
        inputs: name of each input -> `identity` of that file.
        companions: name of each unsealed file in the same folder -> `identity` of that file.
    """

    stage: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    code: str = ""
    lock: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    companions: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def sealed_file(path: Path) -> Iterator[BinaryIO]:
    """Like `atomic_file`, for an artifact: at the end its seal is written into the place reserved in its metadata."""
    with atomic_file(path) as handle:
        yield handle
        handle.flush()
        digest, position = _sha256(handle, path)
        handle.seek(position)
        handle.write(digest.encode())


def file_metadata(provenance: Provenance, own: Mapping[str, Any] | None = None, seal: str = "") -> dict[str, str]:
    """What the metadata of a file holds: its provenance, its own metadata, and last the place of the seal.

    Args:
        provenance: what readers check and people look up; no reader needs its parameters.
        own: what readers need to read the file, JSON values only.
        seal: text before the seal, by which it is found.
    """
    described = {"format_version": FORMAT_VERSION, **asdict(provenance)}
    if not provenance.companions:
        del described["companions"]
    found = {PROVENANCE_KEY: described} if own is None else {PROVENANCE_KEY: described, METADATA_KEY: own}
    texts = {key: json.dumps(value, sort_keys=True, ensure_ascii=False) for key, value in found.items()}
    return {**texts, SEAL_KEY: seal + _UNSEALED.decode()}


def check(path: Path, stage: str | Sequence[str] | None) -> dict[str, Any]:
    """Verify the seal of an artifact against all of its bytes and return its provenance; `stage` None accepts any stage.

    Raises:
        ArtifactError: the file is missing, truncated, altered, foreign, or of another stage or format version.
    """
    path = existing(path)
    with path.open("rb") as handle:
        digest, position = _sha256(handle, path)
        handle.seek(position)
        if handle.read(len(_UNSEALED)) != digest.encode():
            raise damaged(path, "was altered: its content does not match its seal")
    _stored_as(path, digest)
    provenance = read_provenance(path)
    version, made_by = provenance.get("format_version"), provenance.get("stage")
    if version != FORMAT_VERSION:
        raise damaged(path, f"has format version {version}, this lexigraft reads {FORMAT_VERSION}")
    stages = (stage,) if isinstance(stage, str) else stage
    if stages is not None and made_by not in stages:
        expected = " or ".join(map(repr, stages))
        raise damaged(path, f"was made by stage {made_by!r}, expected {expected}")
    return provenance


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance of an artifact without verifying its data (`check` does).

    Raises:
        ArtifactError: the file is missing, truncated or foreign.
    """
    return _read_json(path, PROVENANCE_KEY)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata that an artifact was written with, without verifying its data (`check` does).

    Raises:
        ArtifactError: the file is missing, truncated or foreign, or has no metadata of its own.
    """
    return _read_json(path, METADATA_KEY)


def identity(path: Path) -> str:
    """A digest of a file's content: the seal of an artifact (not verified here, see `check`), else the SHA-256 of the bytes."""
    path = existing(path)
    with path.open("rb") as handle:
        with suppress(ArtifactError):
            position = _seal_position(handle, path)
            handle.seek(position)
            return _stored_as(path, handle.read(len(_UNSEALED)).decode("ascii", "replace"))
        handle.seek(0)
        return _stored_as(path, hashlib.file_digest(handle, "sha256").hexdigest())


def existing(path: Path) -> Path:
    """The path of an artifact; raises ArtifactError if the file does not exist."""
    path = Path(path)
    if not path.is_file():
        raise ArtifactError("artifact does not exist", where=path, hint="run snakemake with this file as its target")
    return path


def damaged(path: Path, problem: str) -> ArtifactError:
    """The error for an artifact that is not what it should be."""
    where: Path | str = path
    hint = "delete the file and run snakemake again: it regenerates this file and everything that depends on it"
    if shared := shared_file(path):
        where = f"{path}, a link to the shared cache's {shared.file}"
        repair = f"lexigraft cache verify {shared.entry.parent} --remove"
        hint = f"{repair}, then run snakemake again: the file is computed and stored again"
    return ArtifactError(f"artifact {problem}", where=where, hint=hint)


def unreadable(path: Path, error: BaseException) -> ArtifactError:
    """The error for an artifact that a library cannot read."""
    return damaged(path, f"cannot be read ({' '.join(str(error).split())[:200]})")


def _stored_as(path: Path, identity: str) -> str:
    """Return `identity`, after checking a link into a shared cache against the identity that was stored there."""
    if (shared := shared_file(path)) and shared.identity != identity:
        raise damaged(path, "was overwritten: it is not the file that was stored in the shared cache")
    return identity


def _read_json(path: Path, key: str) -> dict[str, Any]:
    """The value of `key` in the metadata of a file."""
    path = existing(path)
    with path.open("rb") as handle:
        _seal_position(handle, path)
        handle.seek(0)
        magic = handle.read(8)
    try:
        if magic.startswith(_PARQUET):
            text = (pq.read_metadata(path).metadata or {})[key.encode()]
        elif magic.startswith(_ARROW):
            text = (pa.ipc.open_file(pa.memory_map(str(path))).metadata or {})[key.encode()]
        else:
            with safe_open(str(path), framework="np") as tensors:
                text = (tensors.metadata() or {})[key]
        value = json.loads(text)
    except (pa.ArrowException, SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise unreadable(path, error) from error
    if not isinstance(value, dict):
        raise damaged(path, f"has metadata {key!r} of another kind than lexigraft writes")
    return cast(dict[str, Any], value)


def _seal_position(handle: BinaryIO, path: Path) -> int:
    """Position of the seal in the footer of Parquet or Arrow, or in the header of safetensors."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    magic = handle.read(8)
    footer = next((end for end in (_PARQUET, _ARROW) if magic.startswith(end)), None)
    if footer is not None:
        handle.seek(max(size - 4 - len(footer), 0))
        tail = handle.read()
        length = int.from_bytes(tail[:4], "little")
        start = size - len(tail) - length
        whole = tail[4:] == footer and start >= len(footer)
    else:
        start, length = 8, int.from_bytes(magic, "little")
        whole = len(magic) == 8 and start + length <= size
    if not whole or length > _LONGEST_HEADER:
        raise damaged(path, "is truncated, or neither Parquet nor Arrow nor safetensors")
    handle.seek(start)
    header = handle.read(length)
    found = header.rfind((ARROW_SEAL if footer == _ARROW else SEAL_KEY).encode())
    seal = re.compile(rb"[0-9a-f]{64}").search(header, found) if found >= 0 else None
    if seal is None:
        raise damaged(path, "was not written by lexigraft (it has no seal)")
    return start + seal.start()


def _sha256(handle: BinaryIO, path: Path) -> tuple[str, int]:
    """SHA-256 of the whole file with zeros in place of the seal, and the position of the seal."""
    position = _seal_position(handle, path)
    digest = hashlib.sha256()
    handle.seek(0)
    remaining = position
    while remaining > 0 and (block := handle.read(min(_BLOCK, remaining))):
        digest.update(block)
        remaining -= len(block)
    digest.update(_UNSEALED)
    handle.seek(position + len(_UNSEALED))
    while block := handle.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest(), position


@dataclass(frozen=True, slots=True)
class Shared:
    """The target of a link: the entry's folder, the file in it, and the identity it was stored with, if known."""

    entry: Path
    file: Path
    identity: str | None


def shared_file(path: Path) -> Shared | None:
    """The target of a link into a shared cache; None for any other file."""
    if not path.is_symlink():
        return None
    file = path.resolve()
    try:
        manifest = json.loads((file.parent / "manifest.json").read_bytes())
        return Shared(file.parent, file, str(manifest["files"][file.name]["identity"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):  # a damaged manifest
        return Shared(file.parent, file, None)
