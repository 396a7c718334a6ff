"""The table of how the tokens of a run's models were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError
from lexigraft.token_maps.origins import ROW_KEYS, SCHEMA, write_token_origins
from lexigraft.token_maps.token_map import ORIGINS, TokenMap, write_token_map
from lexigraft.tokenizers.vocabulary import SCHEMA as VOCABULARY

PROVENANCE = Provenance("token_origins")


def row(model: str, dim: Any, seed: int = 42) -> dict[str, Any]:
    return {"run": "r", "model": model, "method": "ofa", "source": "s", "tokenizer": "t", "dim": dim, "seed": seed}


def write_model(folder: Path, name: str, origins: list[int]) -> Path:
    """A model's token map as the stage writes it: copied and computed tokens have two weights."""
    made = np.array(origins, np.int8)
    weights = csr_matrix(np.where(made < 2, 0.5, 0)[:, None] * np.ones((1, 2)))
    path = folder / name / "token_map.parquet"
    write_token_map(path, TokenMap(weights, made), Provenance("token_map"))
    return path


def write_vocabulary(path: Path, size: int) -> Path:
    rows = {"id": range(size), "token": ["x"] * size, "surface": ["x"] * size, "role": [None] * size, "count": [0] * size}
    write_table(path, pl.DataFrame(rows).cast(dict(VOCABULARY)), Provenance("tokenizer"))
    return path


def test_a_row_a_model_whose_counts_add_up(tmp_path: Path) -> None:
    origins = {"a": [0, 0, 1, 2, 3, 3, 3], "b": [1] * 7, "c": [0, 1, 2]}
    tokens = [write_model(tmp_path, name, made) for name, made in origins.items()]
    vocabularies = [write_vocabulary(tmp_path / f"{name}.parquet", len(made)) for name, made in origins.items()]
    rows = [row("a", 100), row("b", "full"), row("c", 400, seed=7)]
    out = tmp_path / "token_origins.parquet"
    write_token_origins(tokens, vocabularies, rows, out, PROVENANCE)
    table = read_table(out, "token_origins")
    assert table.schema == SCHEMA
    assert table.columns == [*ROW_KEYS, "copied", "computed", "mean", "random", "total"]
    assert table["model"].to_list() == ["a", "b", "c"]
    assert table["dim"].to_list() == ["100", "full", "400"]
    assert table["seed"].to_list() == [42, 42, 7]
    assert table.select(ORIGINS).rows() == [(2, 1, 1, 3), (0, 7, 0, 0), (1, 1, 1, 0)]
    assert table["total"].to_list() == [7, 7, 3]
    first = out.read_bytes()
    write_token_origins(tokens, vocabularies, rows, out, PROVENANCE)
    assert out.read_bytes() == first


def test_counts_that_do_not_add_up_and_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tokens, vocabulary = write_model(tmp_path, "a", [0, 1, 3]), write_vocabulary(tmp_path / "v.parquet", 4)
    out = tmp_path / "token_origins.parquet"
    with pytest.raises(ArtifactError, match="a: 3 tokens of known origin, but a vocabulary of 4"):
        write_token_origins([tokens], [vocabulary], [row("a", 1)], out, PROVENANCE)
    incomplete = {key: value for key, value in row("a", 1).items() if key != "seed"}
    with pytest.raises(ValueError, match="lacks seed"):
        write_token_origins([tokens], [vocabulary], [incomplete], out, PROVENANCE)
    with pytest.raises(ValueError, match="shorter"):
        write_token_origins([tokens], [], [row("a", 1)], out, PROVENANCE)
    assert not out.exists()
