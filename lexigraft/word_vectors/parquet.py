"""Word vectors in Parquet files, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexigraft.errors import InputError

Floats = NDArray[np.float32]
_BLOCK_ROWS = 1 << 16
_PARQUET_HINT = "columns: word, vector (a list of numbers) or one float column a dimension, and if you like language"


class ParquetVectors:
    """Columns `word` and `vector` (lists of numbers), or `word` and a float column a dimension; optionally `language`."""

    def __init__(self, path: Path) -> None:
        """Take width and length from the file's own description; of lists, the first vector tells the width."""
        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
                names = schema.names
                if "word" not in names:
                    raise InputError(f"no column 'word': the file has {', '.join(names[:10])}", where=path, hint=_PARQUET_HINT)
                numbers = [name for name in names if pa.types.is_floating(schema.field(name).type)]
                self.columns = ["vector"] if "vector" in names else numbers
                self.with_language = "language" in names
                self.dim = self._first_width(file) if self.columns == ["vector"] else len(self.columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"cannot be read as Parquet: {error}", where=path, hint="write the file again") from None
        if self.rows == 0:
            raise InputError("the file of word vectors holds no row", where=path, hint="get or make the file again")
        if self.dim < 1:
            raise InputError(f"no vectors: the file has {', '.join(names[:10])}", where=path, hint=_PARQUET_HINT)

    @property
    def expected_blocks(self) -> int:
        """See `formats.VectorFile`."""
        return int(-(-self.rows // _BLOCK_ROWS))

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """See `formats.VectorFile`."""
        words, row = ["word", *(["language"] if self.with_language else [])], 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BLOCK_ROWS, columns=[*words, *self.columns]):
                frame = cast(pl.DataFrame, pl.from_arrow(batch))
                keys = frame.select(pl.col(words).cast(pl.String)).rename({"word": "key"})
                for name in words:
                    if frame[name].null_count():
                        number = row + int(cast(int, frame[name].is_null().arg_max()))
                        raise InputError(f"no {name}", where=f"{self.path}, row {number}", hint=_PARQUET_HINT)
                yield keys, self._values(frame.select(self.columns), row)
                row += len(frame)

    def _first_width(self, file: pq.ParquetFile) -> int:
        batch = next(file.iter_batches(1, columns=["vector"]), None)
        first = None if batch is None else batch.column(0)[0].as_py()
        return len(first) if isinstance(first, list) else 0

    def _values(self, frame: pl.DataFrame, row: int) -> Floats:
        if self.columns != ["vector"]:
            return frame.select(pl.all().cast(pl.Float32).fill_null(float("nan"))).to_numpy()
        column = frame["vector"]
        lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
        widths = lists.list.len().fill_null(0)
        if (widths != self.dim).any():
            number = int(cast(int, (widths != self.dim).arg_max()))
            problem = f"vectors of two widths: {self.dim} and {widths[number]}"
            raise InputError(problem, where=f"{self.path}, row {row + number}", hint=_PARQUET_HINT)
        values = lists.explode().cast(pl.Float32).fill_null(float("nan")).to_numpy()
        return values.reshape(-1, self.dim)
