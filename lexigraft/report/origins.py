"""How the rows of every model's tokens were made, beside the paper's own counts (HyperOFA, table 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.errors import ArtifactError
from lexigraft.report.inputs import Model
from lexigraft.report.paper import origins_of
from lexigraft.token_maps.token_map import ORIGINS

_ROUNDING = 1000


@dataclass(frozen=True, slots=True)
class Origins:
    """Tokens of one model by origin.

    Attributes:
        counts: origin -> tokens; they add up to `total`.
        total: size of the vocabulary.
        paper: what the paper's table 2 prints of this model, rounded to thousands; None where it has no such model, or one with
            a vocabulary of another size.
    """

    counts: dict[str, int]
    total: int
    paper: dict[str, int] | None

    def percentage(self, origin: str) -> float:
        """Share of the vocabulary in percent."""
        return 100.0 * self.counts[origin] / self.total


def read_origins(path: Path | None, models: Mapping[str, Model]) -> dict[str, Origins]:
    """The rows of `token_origins.parquet` of these models, in their order; empty where there is no such file.

    Raises:
        ArtifactError: the file is missing or damaged, or the counts of a model do not add up.
    """
    if path is None:
        return {}
    table = read_table(Path(path), "token_origins", ["model", *ORIGINS, "total"])
    rows = {row["model"]: row for row in table.iter_rows(named=True)}
    found = {}
    for name in models:
        if name not in rows:
            continue
        counts, total = {origin: int(rows[name][origin]) for origin in ORIGINS}, int(rows[name]["total"])
        if sum(counts.values()) != total:
            problem = f"{sum(counts.values())} tokens of {name} by origin, but {total} in its vocabulary"
            raise ArtifactError(problem, where=path, hint="delete the file and run snakemake again")
        paper = origins_of(models[name].seed_group)
        same = paper is not None and abs(total - paper["total"]) < _ROUNDING
        found[name] = Origins(counts, total, paper if same else None)
    return found


def long(origins: Mapping[str, Origins]) -> pl.DataFrame:
    """model, origin, tokens (int64), every origin of every model."""
    rows = [(model, origin, tokens) for model, made in origins.items() for origin, tokens in made.counts.items()]
    return pl.DataFrame(rows, schema={"model": pl.String, "origin": pl.String, "tokens": pl.Int64}, orient="row")
