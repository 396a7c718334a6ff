"""What is recorded while a model is trained: growing tables of numbers that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


class History:
    """Tables that grow by rows.

    Args:
        schemas: name of each table -> its columns, numbers only.
    """

    def __init__(self, schemas: Mapping[str, pl.Schema]) -> None:
        self.schemas = dict(schemas)
        self._columns: dict[str, dict[str, list[float]]] = {
            table: {name: [] for name in schema} for table, schema in self.schemas.items()
        }

    def add(self, table: str, **row: float) -> None:
        """Append a row, a value for every column."""
        for name, column in self._columns[table].items():
            column.append(row[name])

    def clear(self, table: str) -> None:
        """Remove all rows of a table."""
        self._columns[table] = {name: [] for name in self.schemas[table]}

    def table(self, table: str) -> pl.DataFrame:
        """All rows of a table."""
        return pl.DataFrame(self._columns[table], schema=self.schemas[table])

    @property
    def names(self) -> list[str]:
        """Names of the tensors."""
        return [f"{table}/{name}" for table, schema in self.schemas.items() for name in schema]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All columns as `TABLE/COLUMN`, for a checkpoint."""
        return {
            f"{table}/{name}": column.to_numpy()
            for table in self.schemas
            for name, column in self.table(table).to_dict().items()
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows that `tensors` returned."""
        for table, schema in self.schemas.items():
            self._columns[table] = {name: np.asarray(tensors[f"{table}/{name}"]).tolist() for name in schema}
