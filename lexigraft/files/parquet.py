"""Parquet files from outside: read block by block, and every block checked before other libraries rely on it.

They are read by pyarrow, whose readers answer a damaged file with an error, where those of polars may panic.
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
"""Bytes of a text and items of a list in the file's own description: what it says of its sizes is not believed."""


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what cannot be read, now or while the context lasts, is an InputError.

    Raises:
        InputError: the file is damaged or no Parquet, or two columns have one name.
    """
    try:
        limits = {"thrift_string_size_limit": _LONGEST_STRING, "thrift_container_size_limit": _MOST_ITEMS}
        with pq.ParquetFile(path, **limits) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                twice = sorted({name for name in names if names.count(name) > 1})
                problem = f"two columns are named {twice[0]!r}"
                raise InputError(problem, where=path, hint="write the file again, each column with a name of its own")
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read as Parquet: {' '.join(str(error).split())[:200]}"
        raise InputError(problem, where=path, hint="write the file again") from None


def parquet_blocks(file: pq.ParquetFile, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Blocks of these columns, at most so many rows each, whose texts are UTF-8 and whose indices lead to values."""
    for batch in file.iter_batches(rows, columns=list(columns)):
        batch.validate(full=True)
        yield batch


def text_column(batch: pa.RecordBatch, name: str) -> pl.Series:
    """A column of strings, for polars; nothing that the file says of it but its values is passed on."""
    return pl.Series(pl.from_arrow(batch.column(name).cast(pa.large_string())))


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings, directly or through a dictionary."""
    if pa.types.is_dictionary(kind):
        return holds_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
