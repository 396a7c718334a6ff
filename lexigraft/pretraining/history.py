"""The tables of a pre-training run: every optimizer step, its speed, and the losses of held-out sequences."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.artifacts.atomic import refusal_behind
from lexigraft.errors import ArtifactError
from lexigraft.training.history import History

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
"""One row per optimizer step, from 1: step; tokens, seen so far, all positions of the sequences; loss, the mean over the
effective batch's predicted tokens, in nats; learning_rate, the encoder's (the largest one where the encoder is frozen);
gradient_norm, before clipping, of all trained parameters; predicted, tokens that the loss is the mean of; phase, from 1."""
SPEED = pl.Schema({"step": pl.Int64, "seconds": pl.Float64, "tokens_per_second": pl.Float64, "seconds_left": pl.Float64})
"""One row per optimizer step: seconds, that it took; tokens_per_second, of the last steps; seconds_left, at that speed."""
HELD_OUT = pl.Schema({"step": pl.Int64, "tokens": pl.Int64, "language": pl.Int64, "loss": pl.Float64, "predicted": pl.Int64})
"""One row per language and measurement: loss, the mean over `predicted` tokens of its held-out sequences, in nats. Languages
are numbers here, names in the table that is written."""
TABLES = {"history": STEPS, "speed": SPEED, "held_out": HELD_OUT}


def written_tables(history: History, languages: list[str]) -> dict[str, pl.DataFrame]:
    """The three tables by name, with the names of the languages."""
    names = pl.col("language").replace_strict(dict(enumerate(languages)), return_dtype=pl.String)
    tables = {name: history.table(name) for name in TABLES}
    return {**tables, "held_out": tables["held_out"].with_columns(names.alias("language"))}


def write_so_far(history: History, languages: list[str], folder: Path, step: int, seed: int) -> None:
    """Write the tables up to `step`, for those who watch; a full disk is only warned of."""
    provenance = Provenance("pretraining", parameters={"step": step}, seed=seed)
    try:
        for name, table in written_tables(history, languages).items():
            write_table(folder / f"{name}.parquet", table, provenance)
    except (OSError, ArtifactError) as error:
        if (refusal := refusal_behind(error)) is None:
            raise
        log.warning("the tables up to step %d could not be written: %s", step, refusal.strerror or refusal)
