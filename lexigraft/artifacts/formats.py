"""The formats of artifacts: Parquet for tables, safetensors for arrays, Arrow for rows that are memory-mapped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open

from lexigraft.artifacts.sealing import (
    ARROW_SEAL,
    Provenance,
    check,
    damaged,
    existing,
    file_metadata,
    sealed_file,
    unreadable,
)

_SAFETENSORS_DTYPES = {"bool": "BOOL", "uint8": "U8"}
_SAFETENSORS_DTYPES |= {f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)}
_SAFETENSORS_DTYPES |= {f"float{bits}": f"F{bits}" for bits in (16, 32, 64)}


def write_table(path: Path, table: pl.DataFrame | Iterable[pl.DataFrame], provenance: Provenance) -> None:
    """Write a table (or its blocks, all of the same schema) as sealed, zstd-compressed Parquet.

    A stream of blocks is never held in memory as a whole: each block becomes one row group.

    Raises:
        ValueError: there is no block (a table without rows still has a schema: pass an empty frame).
    """
    blocks = iter([table] if isinstance(table, pl.DataFrame) else table)
    first = next(blocks, None)
    if first is None:
        raise ValueError(f"no blocks to write to {path}: a table needs a schema")
    with sealed_file(path) as handle:
        schema = _plain_arrow(first).schema
        with pq.ParquetWriter(handle, schema, compression="zstd") as writer:
            for block in chain([first], blocks):
                writer.write_table(_plain_arrow(block).cast(schema), row_group_size=1 << 20)
            writer.add_key_value_metadata(file_metadata(provenance))


def read_table(path: Path, stage: str | Sequence[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a sealed table after checking that it is complete, unaltered and was made by `stage`.

    Raises:
        ArtifactError: the file is missing, truncated, altered or of another stage.
    """
    check(path, stage)
    try:
        return pl.read_parquet(path, columns=None if columns is None else list(columns))
    # on files that were altered and sealed again polars may panic, and a PanicException is no Exception
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise unreadable(Path(path), error) from error


def scan_table(path: Path, stage: str | Sequence[str]) -> pl.LazyFrame:
    """Like `read_table`, as a lazy frame: for tables that need not fit in memory."""
    check(path, stage)
    return pl.scan_parquet(path)


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], provenance: Provenance, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write arrays as sealed safetensors; `read_metadata` returns `metadata`, which must be JSON values."""
    arrays = {name: np.ascontiguousarray(value) for name, value in sorted(tensors.items())}
    header = tensors_header({name: (array.dtype, array.shape) for name, array in arrays.items()}, provenance, metadata=metadata)
    with sealed_file(path) as handle:
        handle.write(header)
        for array in arrays.values():
            handle.write(array.reshape(-1).view(np.uint8).data)


def tensors_header(
    tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    provenance: Provenance,
    size: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """The header of a sealed safetensors file with tensors of these types and shapes, padded to at least `size` bytes.

    The safetensors package writes metadata keys in random order, so files would differ from run to run.
    Format: https://huggingface.co/docs/safetensors/index#format
    """
    header: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        if dtype.name not in _SAFETENSORS_DTYPES:
            raise TypeError(f"tensor {name!r} has dtype {dtype}, which safetensors cannot hold")
        end = offset + dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": _SAFETENSORS_DTYPES[dtype.name], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    described = {"format": "pt", **file_metadata(provenance, metadata)}
    text = json.dumps({"__metadata__": described, **header}, ensure_ascii=False).encode()
    text = text.ljust(size - 8)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_tensors(path: Path, stage: str | Sequence[str], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read sealed tensors (all of them, or only `names`) after checking file, data and stage.

    Raises:
        ArtifactError: the file is missing, truncated, altered, of another stage, or lacks a name.
    """
    check(path, stage)
    with safe_open(str(path), framework="np") as handle:
        missing = set(names or []) - set(handle.keys())
        if missing:
            raise damaged(Path(path), f"has no tensor {sorted(missing)}; it holds {sorted(handle.keys())}")
        return {name: handle.get_tensor(name) for name in (names or handle.keys())}


def map_tensors(path: Path, stage: str | Sequence[str], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Like `read_tensors`, but mapped from the file and read-only: for arrays that need not fit in memory."""
    check(path, stage)
    with Path(path).open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(size))
    if missing := sorted(set(names) - header.keys()):
        raise damaged(Path(path), f"has no tensor {missing}; it holds {sorted(header.keys() - {'__metadata__'})}")
    dtypes = {stored: name for name, stored in _SAFETENSORS_DTYPES.items()}
    found: dict[str, NDArray[Any]] = {}
    for name in names:
        shape, start = tuple(header[name]["shape"]), 8 + size + header[name]["data_offsets"][0]
        dtype = np.dtype(dtypes[header[name]["dtype"]])
        # an empty stretch cannot be mapped
        found[name] = np.memmap(path, dtype, "r", start, shape) if math.prod(shape) else np.zeros(shape, dtype)
    return found


def write_arrow(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    provenance: Provenance,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write record batches as a sealed, uncompressed Arrow file, which can be memory-mapped.

    A stream of batches is never held in memory as a whole. `read_metadata` returns `metadata`. Format: https://arrow.apache.org/docs/format/Columnar.html
    """
    described = file_metadata(provenance, metadata, ARROW_SEAL)
    with sealed_file(path) as handle, pa.ipc.new_file(handle, schema, metadata=described) as writer:
        for batch in batches:
            writer.write_batch(batch)


def map_arrow(path: Path) -> list[pa.RecordBatch]:
    """Memory-mapped batches of an Arrow file, which the caller has verified with `check`.

    Raises:
        ArtifactError: the file is missing or cannot be read.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(existing(path))))
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        for batch in batches:
            # else lengths and offsets that point outside the file would be followed
            batch.validate(full=True)
        return batches
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(Path(path), error) from error


def _plain_arrow(frame: pl.DataFrame) -> pa.Table:
    # polars writes string views by default; every Parquet reader knows the older types
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
