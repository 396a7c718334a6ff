"""How the rows of every model of a run were made, as one table: the quantities of HyperOFA's table 2 (arXiv 2504.21018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError
from lexigraft.token_maps.token_map import ORIGINS
from lexigraft.token_maps.token_map import STAGE as TOKEN_MAP

STAGE = "token_origins"
ROW_KEYS = ("run", "model", "method", "source", "tokenizer", "dim", "seed")
SCHEMA = pl.Schema(
    {key: pl.Int64 if key == "seed" else pl.String for key in ROW_KEYS} | dict.fromkeys((*ORIGINS, "total"), pl.Int64)
)


def write_token_origins(
    maps: Sequence[Path],
    vocabularies: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    provenance: Provenance,
) -> pl.DataFrame:
    """Write `token_origins.parquet`: a row a model, with the number of its tokens of each origin and their total.

    Args:
        maps: `token_map.parquet` of each model.
        vocabularies: `vocabulary.parquet` of each model's target tokenizer.
        rows: what each model is: `ROW_KEYS`.
        path: of the table; its columns are those of `SCHEMA`, its rows in the order of `rows`.
        provenance: of the table.

    Returns:
        The table.

    Raises:
        ValueError: a row lacks a key, or the arguments do not fit each other.
        ArtifactError: a file is missing or damaged, or the counts of a model do not add up to its vocabulary.
    """
    made: list[dict[str, Any]] = []
    for row, own, vocabulary in zip(rows, maps, vocabularies, strict=True):
        if missing := [key for key in ROW_KEYS if key not in row]:
            raise ValueError(f"row {dict(row)} lacks {', '.join(missing)}")
        counts = origin_counts(own)
        total = len(read_table(vocabulary, "tokenizer", ["id"]))
        if sum(counts.values()) != total:
            raise ArtifactError(
                f"{row['model']}: {sum(counts.values())} tokens of known origin, but a vocabulary of {total}",
                where=f"{own}, {vocabulary}",
                hint="delete both and run snakemake again",
            )
        made.append({**{key: row[key] for key in ROW_KEYS}, "dim": str(row["dim"]), **counts, "total": total})
    table = pl.DataFrame(made, schema=SCHEMA)
    write_table(path, table, provenance)
    return table


def origin_counts(token_map: Path) -> dict[str, int]:
    """Number of target tokens of each of `ORIGINS` in a token map."""
    made = read_table(token_map, TOKEN_MAP, ["target", "origin"]).unique("target")
    counted = dict(made["origin"].value_counts().iter_rows())
    return {origin: int(counted.get(origin, 0)) for origin in ORIGINS}
