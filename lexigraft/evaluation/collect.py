"""Scores of tagging and language modeling in the form of the run's score table (`evaluation.scores.SCHEMA`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.evaluation.language_modeling import language_modeling_table
from lexigraft.evaluation.scores import SCHEMA, about
from lexigraft.evaluation.tagging.scoring import tag_score_table


def tagging_scores(
    rows: Sequence[Mapping[str, Any]], files: Sequence[Path], seeds: Mapping[str, int], headlines: Mapping[str, str]
) -> pl.DataFrame:
    """Scores of all taggers of a run.

    Args:
        rows: `ROW_KEYS` of each model, step and task.
        files: the `tag_scores` tables of the first row, one a seed of fine-tuning, then those of the second, and so on.
        seeds: task -> number of its seeds.
        headlines: task -> the metric that comes first.

    Returns:
        columns of `SCHEMA`; metrics and n as in `tag_score_table`.

    Raises:
        ArtifactError: a table is missing or damaged.
    """
    left = iter(files)
    tables = [tag_score_table(list(islice(left, seeds[row["task"]])), headlines[row["task"]]) for row in rows]
    return _in_schema(rows, tables)


def language_modeling_scores(rows: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> pl.DataFrame:
    """Scores of language modeling, one table a row; columns of `SCHEMA`. No percentages, and lower is better.

    Raises:
        ArtifactError: a table is missing or damaged.
    """
    return _in_schema(rows, [language_modeling_table(path) for path in files])


def _in_schema(rows: Sequence[Mapping[str, Any]], tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([SCHEMA.to_frame(), *(about(table, row) for row, table in zip(rows, tables, strict=True))])
