"""What is noted while a model is trained: every optimizer step, its speed, and the losses of held-out sequences."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, write_table
from lexigraft.artifacts.atomic import refusal_behind
from lexigraft.errors import ArtifactError

log = logging.getLogger(__name__)

STEPS = pl.Schema(
    {
        "step": pl.Int64,
        "tokens": pl.Int64,
        "loss": pl.Float64,
        "learning_rate": pl.Float64,
        "gradient_norm": pl.Float64,
        "predicted": pl.Int64,
        "phase": pl.Int64,
    }
)
"""One row an optimizer step, from 1: step; tokens, seen so far, all positions of the sequences; loss, the mean over the
effective batch's predicted tokens, in nats; learning_rate, the encoder's (the largest one where the encoder is frozen);
gradient_norm, before clipping, of all trained parameters; predicted, tokens that the loss is the mean of; phase, from 1."""
SPEED = pl.Schema({"step": pl.Int64, "seconds": pl.Float64, "tokens_per_second": pl.Float64, "seconds_left": pl.Float64})
"""One row an optimizer step: seconds, that it took; tokens_per_second, of the last steps; seconds_left, at that speed."""
HELD_OUT = pl.Schema({"step": pl.Int64, "tokens": pl.Int64, "language": pl.Int64, "loss": pl.Float64, "predicted": pl.Int64})
"""One row a language and measurement: loss, the mean over `predicted` tokens of its held-out sequences, in nats. Languages are
numbers here, names in the table that is written."""
_TABLES = {"history": STEPS, "speed": SPEED, "held_out": HELD_OUT}


class History:
    """Three growing tables: `history`, `speed` and `held_out`."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, list[float]]] = {
            table: {name: [] for name in schema} for table, schema in _TABLES.items()
        }

    def add(self, kind: str, **row: float) -> None:
        """Append a row to a table, a value for every column."""
        for name, column in self._columns[kind].items():
            column.append(row[name])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All columns as arrays, for a checkpoint."""
        return {f"{kind}/{name}": column.to_numpy() for kind in _TABLES for name, column in self.table(kind).to_dict().items()}

    def table(self, kind: str = "history") -> pl.DataFrame:
        """All rows of a table."""
        return pl.DataFrame(self._columns[kind], schema=_TABLES[kind])

    @classmethod
    def restored(cls, tensors: Mapping[str, NDArray[Any]]) -> History:
        """The history that a checkpoint holds."""
        history = cls()
        for kind, schema in _TABLES.items():
            history._columns[kind] = {name: np.asarray(tensors[f"{kind}/{name}"]).tolist() for name in schema}
        return history


def write_so_far(history: History, languages: list[str], folder: Path, step: int, seed: int) -> None:
    """Write the three tables as they are after `step`, for those who watch; a full disk is warned of, and no more."""
    made = {"history": history.table(), "speed": history.table("speed"), "held_out": held_out_table(history, languages)}
    try:
        for name, table in made.items():
            write_table(folder / f"{name}.parquet", table, Provenance("pretraining", parameters={"step": step}, seed=seed))
    except (OSError, ArtifactError) as error:
        if (refusal := refusal_behind(error)) is None:
            raise
        log.warning("the tables up to step %d could not be written: %s", step, refusal.strerror or refusal)


def held_out_table(history: History, languages: list[str]) -> pl.DataFrame:
    """The table of held-out losses with the names of the languages."""
    table = history.table("held_out")
    names = pl.col("language").replace_strict(dict(enumerate(languages)), return_dtype=pl.String)
    return table.with_columns(names.alias("language"))
