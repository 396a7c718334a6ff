"""Ranks artifacts for tests of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from lexigraft.artifacts import Provenance, write_table


def write_ranks(path: Path, ranks: Mapping[str, Sequence[int | None]]) -> Path:
    """Ranks of queries 0000, 0001, … of each language."""
    parts = [
        pl.DataFrame(
            {"language": language, "variant": "", "query_id": [f"{i:04d}" for i in range(len(values))], "rank": values},
            schema={"language": pl.String, "variant": pl.String, "query_id": pl.String, "rank": pl.Int32},
        )
        for language, values in ranks.items()
    ]
    write_table(path, pl.concat(parts), Provenance("ranks"))
    return path
