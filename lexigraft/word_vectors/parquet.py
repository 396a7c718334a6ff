"""Word vectors in Parquet files, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.files.parquet import holds_text, open_parquet, parquet_blocks, text_column
from lexigraft.word_vectors.word2vec import check_width

Floats = NDArray[np.float32]
_BLOCK_ROWS = 1 << 16
_PARQUET_HINT = "columns: word, vector (a list of numbers) or one float column a dimension, and if you like language"


class ParquetVectors:
    """Columns `word` and `vector` (lists of numbers), or `word` and one float column per dimension; optionally `language`."""

    def __init__(self, path: Path) -> None:
        """Take width and length from the file's metadata; for lists, the width of the first vector."""
        self.path = path
        with open_parquet(path) as file:
            schema, self.rows = file.schema_arrow, file.metadata.num_rows
            names = schema.names
            there = ", ".join(names[:10])
            if "word" not in names:
                raise InputError(f"no column 'word': the file has {there}", where=path, hint=_PARQUET_HINT)
            self.texts = {key: name for key, name in (("key", "word"), ("language", "language")) if name in names}
            for name in self.texts.values():
                if not holds_text(schema.field(name).type):
                    problem = f"the column {name!r} holds {schema.field(name).type}, not texts"
                    raise InputError(problem, where=path, hint=_PARQUET_HINT)
            self._lists = "vector" in names and _is_list_of_numbers(schema.field("vector").type)
            numbers = [name for name in names if pa.types.is_floating(schema.field(name).type)]
            self.columns = ["vector"] if self._lists else numbers
            if self.rows < 1:
                raise InputError("the file of word vectors holds no row", where=path, hint="download or regenerate the file")
            self.dim = self._first_width(file) if self._lists else len(self.columns)
        if self.dim < 1:
            raise InputError(f"no vectors: the file has {there}", where=path, hint=_PARQUET_HINT)
        check_width(self.dim, path)
        self.expected_blocks = int(-(-self.rows // _BLOCK_ROWS))

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """See `formats.VectorFile`."""
        row = 0
        with open_parquet(self.path) as file:
            for batch in parquet_blocks(file, _BLOCK_ROWS, [*self.texts.values(), *self.columns]):
                keys = pl.DataFrame({key: text_column(batch, name) for key, name in self.texts.items()})
                for key, name in self.texts.items():
                    if keys[key].null_count():
                        number = row + int(cast(int, keys[key].is_null().arg_max()))
                        raise InputError(f"no {name}", where=f"{self.path}, row {number}", hint=_PARQUET_HINT)
                yield keys, self._values(batch, row)
                row += len(keys)

    def _first_width(self, file: pq.ParquetFile) -> int:
        batch = next(parquet_blocks(file, 1, ["vector"]), None)
        first = None if batch is None else batch.column(0)[0].as_py()
        return len(first) if isinstance(first, list) else 0

    def _values(self, batch: pa.RecordBatch, row: int) -> Floats:
        if not self._lists:
            return np.stack([_floats(batch.column(name)) for name in self.columns], axis=1)
        column = batch.column("vector")
        widths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        if (widths != self.dim).any():
            number = int((widths != self.dim).argmax())
            problem = f"vectors of two widths: {self.dim} and {widths[number]}"
            raise InputError(problem, where=f"{self.path}, row {row + number}", hint=_PARQUET_HINT)
        return _floats(column.flatten()).reshape(-1, self.dim)


def _floats(numbers: pa.Array) -> Floats:
    """As float32; a missing value is NaN."""
    values: Floats = pc.fill_null(numbers.cast(pa.float32(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    return values


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
