"""Reading and writing artifacts: Parquet tables, safetensors and Arrow files, sealed with their provenance.

Every artifact carries its provenance (stage, format version, parameters, seed, digests of code and inputs) and a seal: the
SHA-256 of the whole file, taken with zeros where the seal itself stands. No clock, host or path is in it, so the same inputs
give the same bytes. Writing goes to a temporary file beside the target, is flushed to disk and renamed; reading verifies the
seal first, so that no parser ever sees an altered file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lexigraft.errors import ArtifactError

FORMAT_VERSION = 1
PROVENANCE_KEY = "lexigraft"
SEAL_KEY = "lexigraft.sha256"
_UNSEALED = b"0" * 64
_ARROW = b"ARROW1"
_ARROW_SEAL = f"{SEAL_KEY}=".encode()
"""In the footer of an Arrow file a value may stand before its key, so the value itself tells what it is."""
_BLOCK = 1 << 22
_SAFETENSORS_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an artifact was made from.

    Attributes:
        stage: name of the stage that made it; readers ask for it by this name.
        parameters: the resolved parameters, JSON values only.
        seed: the seed, None for stages without randomness.
        code: digest of the library modules that the stage imports.
        lock: digest of the pinned versions.
        inputs: name of each input -> `identity` of that file.
    """

    stage: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    code: str = ""
    lock: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success it is flushed to disk and renamed to `path`, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


@contextmanager
def sealed_file(path: Path) -> Iterator[BinaryIO]:
    """Like `atomic_file`, for an artifact: what was written gets its seal, for which `metadata` keeps the place."""
    with atomic_file(path) as handle:
        yield handle
        handle.flush()
        digest, position = _sha256(handle, path)
        handle.seek(position)
        handle.write(digest.encode())


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_file(path) as handle:
        handle.write(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_table(path: Path, table: pl.DataFrame | Iterable[pl.DataFrame], provenance: Provenance) -> None:
    """Write a table (or the blocks of one, all of the same schema) as sealed, zstd-compressed Parquet.

    A stream of blocks is never held in memory as a whole: one block becomes one row group.

    Raises:
        ValueError: if no block is given (a table without rows still has a schema: pass an empty frame).
    """
    blocks = iter([table] if isinstance(table, pl.DataFrame) else table)
    first = next(blocks, None)
    if first is None:
        raise ValueError(f"no blocks to write to {path}: a table needs a schema")
    with sealed_file(path) as handle:
        schema = _plain_arrow(first).schema
        with pq.ParquetWriter(handle, schema, compression="zstd") as writer:
            block: pl.DataFrame | None = first
            while block is not None:
                writer.write_table(_plain_arrow(block).cast(schema), row_group_size=1 << 20)
                block = next(blocks, None)
            writer.add_key_value_metadata(metadata(provenance))


def read_table(path: Path, stage: str | Sequence[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a sealed table after checking that it is whole, unaltered and was made by `stage`.

    Raises:
        ArtifactError: the file is missing, truncated, altered or of another stage.
    """
    check(path, stage)
    return pl.read_parquet(path, columns=None if columns is None else list(columns))


def scan_table(path: Path, stage: str | Sequence[str]) -> pl.LazyFrame:
    """Like `read_table`, as a lazy frame: for tables that need not fit in memory."""
    check(path, stage)
    return pl.scan_parquet(path)


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], provenance: Provenance) -> None:
    """Write arrays as sealed safetensors."""
    arrays = {name: np.ascontiguousarray(value) for name, value in sorted(tensors.items())}
    header = tensors_header({name: (array.dtype, array.shape) for name, array in arrays.items()}, provenance)
    with sealed_file(path) as handle:
        handle.write(header)
        for array in arrays.values():
            handle.write(_bytes_of(array))


def tensors_header(
    tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], provenance: Provenance, size: int = 0
) -> bytes:
    """The first bytes of a sealed safetensors file with tensors of these types and shapes, filled up to `size` bytes.

    The header is written here and not by the safetensors package, whose metadata keys come in random order: files would
    differ from run to run. Format: https://huggingface.co/docs/safetensors/index#format
    """
    header: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        if dtype.name not in _SAFETENSORS_DTYPES:
            raise TypeError(f"tensor {name!r} has dtype {dtype}, which safetensors cannot hold")
        end = offset + dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": _SAFETENSORS_DTYPES[dtype.name], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps({"__metadata__": {"format": "pt", **metadata(provenance)}, **header}, ensure_ascii=False).encode()
    text = text.ljust(size - 8)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def metadata(provenance: Provenance) -> dict[str, str]:
    """Provenance and the place of the seal, as both formats keep them."""
    return {PROVENANCE_KEY: _describe(provenance), SEAL_KEY: _UNSEALED.decode()}


def write_arrow(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], provenance: Provenance) -> None:
    """Write record batches as a sealed, uncompressed Arrow file, which readers can map into memory.

    A stream of batches is never held in memory as a whole. Format: https://arrow.apache.org/docs/format/Columnar.html
    """
    described = {PROVENANCE_KEY: _describe(provenance), SEAL_KEY: _ARROW_SEAL + _UNSEALED}
    with sealed_file(path) as handle, pa.ipc.new_file(handle, schema, metadata=described) as writer:
        for batch in batches:
            writer.write_batch(batch)


def map_arrow(path: Path) -> list[pa.RecordBatch]:
    """Batches of an Arrow file whose columns lie in mapped memory; `check` has verified it.

    Raises:
        ArtifactError: the file is missing or cannot be read.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(_existing(path))))
        return [reader.get_batch(index) for index in range(reader.num_record_batches)]
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(Path(path), f"cannot be read ({' '.join(str(error).split())[:200]})") from error


def read_tensors(path: Path, stage: str | Sequence[str], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read sealed tensors (all of them, or those named) after checking file, data and stage.

    Raises:
        ArtifactError: the file is missing, truncated, altered, of another stage, or lacks a name.
    """
    check(path, stage)
    with safe_open(str(path), framework="np") as handle:
        missing = set(names or []) - set(handle.keys())
        if missing:
            raise _damaged(Path(path), f"has no tensor {sorted(missing)}; it holds {sorted(handle.keys())}")
        return {name: handle.get_tensor(name) for name in (names or handle.keys())}


def check(path: Path, stage: str | Sequence[str]) -> dict[str, Any]:
    """Verify the seal of an artifact against all of its bytes and return its provenance.

    Raises:
        ArtifactError: the file is missing, truncated, altered, foreign, or of another stage or format version.
    """
    path = _existing(path)
    with path.open("rb") as handle:
        digest, position = _sha256(handle, path)
        handle.seek(position)
        if handle.read(len(_UNSEALED)) != digest.encode():
            raise _damaged(path, "was altered: its bytes are not those it was sealed with")
    provenance = read_provenance(path)
    if provenance["format_version"] != FORMAT_VERSION:
        raise _damaged(path, f"has format version {provenance['format_version']}, this lexigraft reads {FORMAT_VERSION}")
    stages = (stage,) if isinstance(stage, str) else tuple(stage)
    if provenance["stage"] not in stages:
        expected = " or ".join(map(repr, stages))
        raise _damaged(path, f"was made by stage {provenance['stage']!r}, expected {expected}")
    return provenance


def read_provenance(path: Path) -> dict[str, Any]:
    """Return what an artifact says of its making, without verifying its data (`check` does).

    Raises:
        ArtifactError: the file is missing, truncated or foreign.
    """
    path = _existing(path)
    with path.open("rb") as handle:
        _seal_position(handle, path)
    try:
        kind = _magic(path)
        if kind == b"PAR1":
            text = (pq.read_metadata(path).metadata or {})[PROVENANCE_KEY.encode()]
        elif kind == _ARROW[:4]:
            text = (pa.ipc.open_file(pa.memory_map(str(path))).metadata or {})[PROVENANCE_KEY.encode()]
        else:
            with safe_open(str(path), framework="np") as tensors:
                text = (tensors.metadata() or {})[PROVENANCE_KEY]
        return cast(dict[str, Any], json.loads(text))
    except (pa.ArrowInvalid, SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, f"cannot be read ({' '.join(str(error).split())[:200]})") from error


def identity(path: Path) -> str:
    """A digest that stands for a file's content: the seal of an artifact (`check` proves it), else the SHA-256 of the bytes."""
    path = _existing(path)
    with path.open("rb") as handle:
        with suppress(ArtifactError):
            position = _seal_position(handle, path)
            handle.seek(position)
            return handle.read(len(_UNSEALED)).decode("ascii", "replace")
        handle.seek(0)
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _plain_arrow(frame: pl.DataFrame) -> pa.Table:
    # string views are polars' own; the older types are what every Parquet reader expects
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _describe(provenance: Provenance) -> str:
    return json.dumps({"format_version": FORMAT_VERSION, **asdict(provenance)}, sort_keys=True, ensure_ascii=False)


def _magic(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(4)


def _seal_position(handle: BinaryIO, path: Path) -> int:
    """Position of the seal in the footer of Parquet or Arrow, or in the header of safetensors."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    magic = handle.read(8)
    key = SEAL_KEY.encode()
    if magic[:4] == b"PAR1":
        handle.seek(max(size - 8, 0))
        tail = handle.read(8)
        start, length = size - 8 - int.from_bytes(tail[:4], "little"), int.from_bytes(tail[:4], "little")
        whole = tail[4:] == b"PAR1" and start >= 4
    elif magic[: len(_ARROW)] == _ARROW:
        key = _ARROW_SEAL
        handle.seek(max(size - 10, 0))
        tail = handle.read(10)
        start, length = size - 10 - int.from_bytes(tail[:4], "little"), int.from_bytes(tail[:4], "little")
        whole = tail[4:] == _ARROW and start >= 8
    else:
        start, length = 8, int.from_bytes(magic, "little")
        whole = len(magic) == 8 and start + length <= size
    if not whole:
        raise _damaged(path, "is truncated, or neither Parquet nor Arrow nor safetensors")
    handle.seek(start)
    header = handle.read(length)
    found = header.rfind(key)
    seal = re.compile(rb"[0-9a-f]{64}").search(header, found) if found >= 0 else None
    if seal is None:
        raise _damaged(path, "was not written by lexigraft (it has no seal)")
    return start + seal.start()


def _sha256(handle: BinaryIO, path: Path) -> tuple[str, int]:
    """SHA-256 of the whole file with zeros in place of the seal, and the seal's position."""
    position = _seal_position(handle, path)
    digest = hashlib.sha256()
    handle.seek(0)
    left = position
    while left > 0 and (block := handle.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    digest.update(_UNSEALED)
    handle.seek(position + len(_UNSEALED))
    while block := handle.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest(), position


def _existing(path: Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise ArtifactError("artifact does not exist", where=path, hint="ask snakemake for this file by its name to make it")
    return path


def _damaged(path: Path, problem: str) -> ArtifactError:
    return ArtifactError(
        f"artifact {problem}",
        where=path,
        hint="delete the file and run snakemake again: it remakes this and what depends on it",
    )


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
