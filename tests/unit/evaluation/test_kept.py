"""Results of languages that stand already, under the second name that outlives the output."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lexigraft.artifacts import Provenance, read_table
from lexigraft.evaluation.kept import standing, write_kept

SCHEMA = pl.Schema({"language": pl.String, "score": pl.Int64, "made_from": pl.String})
TABLE = pl.DataFrame({"language": ["eng_Latn", "fra_Latn"], "score": [1, 2], "made_from": ["a", "b"]}, schema=SCHEMA)
KEYS = {"fra_Latn": "b", "eng_Latn": "other", "kor_Hang": "c"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ranks.parquet"
    write_kept(path, TABLE, Provenance("ranks"))
    return path


def test_the_output_is_an_artifact_like_any_other(path: Path) -> None:
    assert read_table(path, "ranks").equals(TABLE)
    assert sorted(file.name for file in path.parent.iterdir()) == [".kept-ranks.parquet", "ranks.parquet"]


@pytest.mark.parametrize("removed", [False, True])
def test_what_still_follows_from_the_same_stands(path: Path, removed: bool) -> None:
    if removed:  # as Snakemake does before it starts the job
        path.unlink()
    found = standing(path, "ranks", SCHEMA, KEYS)
    assert list(found) == ["fra_Latn"]
    assert found["fra_Latn"].equals(TABLE[1:])


def test_a_damaged_table_of_another_stage_or_schema_has_nothing_to_keep(path: Path) -> None:
    assert standing(path, "tag_scores", SCHEMA, KEYS) == {}
    assert standing(path, "ranks", pl.Schema({**SCHEMA, "more": pl.Int64}), KEYS) == {}
    path.write_bytes(path.read_bytes()[:-20])
    path.unlink()
    assert standing(path, "ranks", SCHEMA, KEYS) == {}
    assert standing(path.with_name("never.parquet"), "ranks", SCHEMA, KEYS) == {}


def test_a_newer_table_replaces_the_one_that_is_kept(path: Path) -> None:
    write_kept(path, TABLE.with_columns(score=pl.col("score") + 10), Provenance("ranks"))
    path.unlink()
    assert standing(path, "ranks", SCHEMA, KEYS)["fra_Latn"]["score"].to_list() == [12]
