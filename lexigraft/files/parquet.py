"""External Parquet files: read block by block, and every block is checked before other libraries rely on it.

pyarrow reads them, because it answers a damaged file with an error, where polars may panic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lexigraft.errors import InputError

_LONGEST_STRING, _MOST_ITEMS = 100_000_000, 1_000_000
"""Limits for strings (bytes) and lists (items) in the file's metadata: the sizes it states are not trusted."""


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; any failure to read it, now or later in the context, becomes an InputError.

    Raises:
        InputError: the file is damaged or not Parquet, or two columns have the same name.
    """
    try:
        limits = {"thrift_string_size_limit": _LONGEST_STRING, "thrift_container_size_limit": _MOST_ITEMS}
        with pq.ParquetFile(path, **limits) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                twice = sorted({name for name in names if names.count(name) > 1})
                problem = f"two columns are named {twice[0]!r}"
                raise InputError(problem, where=path, hint="write the file again with distinct column names")
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read as Parquet: {' '.join(str(error).split())[:200]}"
        raise InputError(problem, where=path, hint="write the file again") from None


def parquet_blocks(file: pq.ParquetFile, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Blocks of these columns with at most `rows` rows each; strings are checked to be UTF-8, indices to be in range."""
    for batch in file.iter_batches(rows, columns=list(columns)):
        batch.validate(full=True)
        yield batch


def text_column(batch: pa.RecordBatch, name: str) -> pl.Series:
    """A column of strings as a polars series; only its values are passed on, none of the file's metadata."""
    return pl.Series(pl.from_arrow(batch.column(name).cast(pa.large_string())))


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings, directly or through a dictionary."""
    if pa.types.is_dictionary(kind):
        return holds_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
