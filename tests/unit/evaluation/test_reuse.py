"""Rows of an earlier table are reused where they are still right, also after Snakemake removed the output."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lexigraft.artifacts import Provenance, read_table
from lexigraft.evaluation.reuse import reusable_rows, write_reusable

SCHEMA = pl.Schema({"language": pl.String, "score": pl.Int64, "made_from": pl.String})
TABLE = pl.DataFrame({"language": ["eng_Latn", "fra_Latn"], "score": [1, 2], "made_from": ["a", "b"]}, schema=SCHEMA)
KEYS = {"fra_Latn": "b", "eng_Latn": "other", "kor_Hang": "c"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ranks.parquet"
    write_reusable(path, TABLE, Provenance("ranks"))
    return path


def test_the_output_is_an_artifact_like_any_other_and_a_newer_one_replaces_it(path: Path) -> None:
    assert read_table(path, "ranks").equals(TABLE)
    assert sorted(file.name for file in path.parent.iterdir()) == [".previous-ranks.parquet", "ranks.parquet"]
    write_reusable(path, TABLE.with_columns(score=pl.col("score") + 10), Provenance("ranks"))
    path.unlink()
    assert reusable_rows(path, "ranks", SCHEMA, KEYS)["fra_Latn"]["score"].to_list() == [12]


@pytest.mark.parametrize("removed", [False, True])
def test_rows_with_the_same_digest_are_reused(path: Path, removed: bool) -> None:
    if removed:  # as Snakemake does before it starts the job
        path.unlink()
    found = reusable_rows(path, "ranks", SCHEMA, KEYS)
    assert list(found) == ["fra_Latn"]
    assert found["fra_Latn"].equals(TABLE[1:])


def test_nothing_of_a_damaged_table_or_one_of_another_stage_or_schema_is_reused(path: Path) -> None:
    assert reusable_rows(path, "tag_scores", SCHEMA, KEYS) == {}
    assert reusable_rows(path, "ranks", pl.Schema({**SCHEMA, "more": pl.Int64}), KEYS) == {}
    path.write_bytes(path.read_bytes()[:-20])
    path.unlink()
    assert reusable_rows(path, "ranks", SCHEMA, KEYS) == {}
    assert reusable_rows(path.with_name("never.parquet"), "ranks", SCHEMA, KEYS) == {}
