"""Token maps against dense float64 arithmetic: building, applying to tables, filling, writing and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_table
from lexigraft.errors import ArtifactError
from lexigraft.initialization.rows import target_rows
from lexigraft.initializers.parts.base import Rows
from lexigraft.token_maps import token_map as module
from lexigraft.token_maps.token_map import (
    COMPUTED,
    COPIED,
    MEAN,
    RANDOM,
    SCHEMA,
    TokenMap,
    read_token_map,
    token_map,
    write_token_map,
)

PROVENANCE = Provenance("token_map")


def random_map(rng: np.random.Generator, targets: int, sources: int, fallback: int = MEAN) -> tuple[TokenMap, np.ndarray]:
    """A map of copied, computed and other tokens, and the same as a dense float64 matrix."""
    copies = np.where(rng.random(targets) < 0.4, rng.integers(sources, size=targets), -1)
    computed = np.flatnonzero(rng.random(targets) < 0.4)
    # signed weights, and rows without any
    dense_rows = rng.standard_normal((len(computed), sources)) * (rng.random((len(computed), sources)) < 0.3)
    made = token_map(copies, sources, fallback, computed, csr_matrix(dense_rows.astype(np.float32)))
    dense = np.zeros((targets, sources))
    copied = np.setdiff1d(np.flatnonzero(copies >= 0), computed)
    dense[copied, copies[copied]] = 1
    dense[computed] = dense_rows.astype(np.float32)
    return made, dense


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), targets=st.integers(1, 40), sources=st.integers(1, 30), width=st.integers(1, 9))
def test_a_map_is_applied_as_a_matrix(seed: int, targets: int, sources: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    made, dense = random_map(rng, targets, sources)
    table = rng.standard_normal((sources, width)).astype(np.float32)
    np.testing.assert_array_equal(made.weights.toarray(), dense)
    np.testing.assert_allclose(made.apply(table), dense @ table, atol=1e-5)
    np.testing.assert_array_equal(made.is_empty, ~dense.any(axis=1))
    assert sum(made.counts().values()) == targets


def test_copies_are_exact_and_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", 7)
    rng = np.random.default_rng(0)
    made, _ = random_map(rng, 50, 20)
    table = rng.standard_normal((20, 6)).astype(np.float32)
    copied = np.flatnonzero(made.origin == COPIED)
    assert len(copied) > 5
    np.testing.assert_array_equal(made.apply(table)[copied], table[made.copies[copied]])
    assert (made.copies[made.origin != COPIED] == -1).all()


def test_one_map_serves_every_table_in_blocks_of_mapped_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Input embeddings, coordinates and an output table that is not tied: the same weights."""
    rng = np.random.default_rng(1)
    made, dense = random_map(rng, 300, 40)
    for width in (3, 64):
        table = rng.standard_normal((40, width)).astype(np.float32)
        np.save(tmp_path / "table.npy", table)
        whole = made.apply(np.load(tmp_path / "table.npy", mmap_mode="r"))
        monkeypatch.setattr(module, "_BLOCK_ROWS", 11)
        np.testing.assert_array_equal(made.apply(table), whole)
        np.testing.assert_allclose(whole, dense @ table, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), targets=st.integers(1, 30), fallback=st.sampled_from([MEAN, RANDOM]))
def test_a_written_map_comes_back(tmp_path_factory: pytest.TempPathFactory, seed: int, targets: int, fallback: int) -> None:
    path = tmp_path_factory.mktemp("map") / "token_map.parquet"
    made, _ = random_map(np.random.default_rng(seed), targets, 12, fallback)
    write_token_map(path, made, PROVENANCE)
    assert read_table(path, "token_map").schema == SCHEMA
    again = read_token_map(path, targets, 12)
    np.testing.assert_array_equal(again.origin, made.origin)
    # the order within a row counts: it is the order of summing
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(again.weights, name), getattr(made.weights, name))


@pytest.mark.parametrize(("targets", "sources"), [(9, 12), (11, 12), (10, 3)])
def test_a_map_of_other_vocabularies_is_refused(tmp_path: Path, targets: int, sources: int) -> None:
    made = token_map(np.arange(10), 12, MEAN, np.zeros(0, np.int64), None)
    write_token_map(tmp_path / "m.parquet", made, PROVENANCE)
    with pytest.raises(ArtifactError, match=f"not one of {targets} target and {sources} source tokens"):
        read_token_map(tmp_path / "m.parquet", targets, sources)


def test_gaps_are_filled_and_dense_rows_are_added() -> None:
    rng = np.random.default_rng(2)
    table = rng.standard_normal((6, 3)).astype(np.float32)
    made = token_map(np.array([4, -1, -1, 1]), 6, MEAN, np.array([1]), csr_matrix(np.eye(1, 6, 2, dtype=np.float32) * 0.75))
    added = Rows(np.array([1, 3]), np.full((2, 3), 0.5, np.float32))
    rows = target_rows(made, table, added, seed=1)
    np.testing.assert_array_equal(rows[0], table[4])
    np.testing.assert_allclose(rows[1], 0.75 * table[2] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(rows[2], table.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(rows[3], table[1] + 0.5, rtol=1e-6)
    assert made.origin.tolist() == [COPIED, COMPUTED, MEAN, COPIED]
    with pytest.raises(ArtifactError, match=r"dense rows of shape \(2, 2\), expected \(2, 3\)"):
        target_rows(made, table, Rows(added.tokens, added.values[:, :2]), seed=1)
    table[4, 1] = np.nan
    with pytest.raises(ArtifactError, match="row of target token 0 is not finite"):
        target_rows(made, table, None, seed=1)
