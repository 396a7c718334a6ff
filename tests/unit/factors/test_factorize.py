"""Factors against scipy's thin SVD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from lexigraft.artifacts import Provenance, write_tensors
from lexigraft.errors import ArtifactError, ConfigError, InputError
from lexigraft.factors.factorize import factorize, write_factors
from lexigraft.factors.tables import INPUT_TABLE, read_embedding_table


def matrix(rows: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, width)) * np.geomspace(10, 0.1, width) + 0.3).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(40, 300), rank=st.integers(1, 32))
def test_factors_are_those_of_the_thin_svd(seed: int, rows: int, rank: int) -> None:
    embeddings = matrix(rows, 32, seed)
    left, singular, right = scipy.linalg.svd(embeddings.astype(np.float64), full_matrices=False)
    factors = factorize(embeddings, rank)
    np.testing.assert_allclose(factors.scale, singular[:rank], rtol=1e-5)
    best = (left[:, :rank] * singular[:rank]) @ right[:rank]
    ours = factors.rows.astype(np.float64) @ factors.primitives
    assert np.linalg.norm(ours - best) <= 1e-5 * np.linalg.norm(embeddings)
    signs = np.sign((left[:, :rank] * factors.rows).sum(axis=0))
    np.testing.assert_allclose(factors.rows, left[:, :rank] * signs, atol=2e-4)
    np.testing.assert_allclose(factors.rows.T @ factors.rows, np.eye(rank), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(factors.primitives, axis=1), singular[:rank], rtol=1e-5)


def test_signs_do_not_depend_on_the_input_order() -> None:
    embeddings = matrix(100, 16, 1)
    one, other = factorize(embeddings, 8), factorize(embeddings[::-1].copy(), 8)
    np.testing.assert_allclose(one.primitives, other.primitives, rtol=1e-3, atol=1e-4)
    assert (one.primitives[np.arange(8), np.abs(one.primitives).argmax(axis=1)] > 0).all()


def test_blocks_of_rows_and_a_common_mean_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in trained embeddings: one direction far above the others."""
    embeddings = matrix(500, 24, 3) + np.linspace(5, 30, 24, dtype=np.float32)
    whole = factorize(embeddings, 20)
    monkeypatch.setattr("lexigraft.factors.factorize._BLOCK_ROWS", 37)
    parts = factorize(embeddings, 20)
    np.testing.assert_allclose(parts.rows, whole.rows, atol=1e-6)
    singular = scipy.linalg.svdvals(embeddings.astype(np.float64))
    assert singular[0] > 8 * singular[1]
    error = np.linalg.norm(embeddings - whole.rows.astype(np.float64) @ whole.primitives)
    assert error == pytest.approx(np.sqrt(np.square(singular[20:]).sum()), rel=1e-5)


def test_bad_input_is_named() -> None:
    with pytest.raises(ConfigError, match="D' = 17 is larger than the model's width 16"):
        factorize(matrix(100, 16, 1), 17)
    holed = matrix(100, 16, 1)
    holed[3, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        factorize(holed, 8)
    flat = matrix(100, 4, 1) @ matrix(4, 16, 2)
    with pytest.raises(InputError, match="rank 4"):
        factorize(flat, 8)


def test_written_factors_come_back_the_same_twice(tmp_path: Path) -> None:
    name = "bert.embeddings.word_embeddings.weight"
    write_tensors(tmp_path / "model.safetensors", {name: matrix(100, 16, 1)}, Provenance("source"), {INPUT_TABLE: [name]})
    for path in (tmp_path / "a.safetensors", tmp_path / "b.safetensors"):
        write_factors(tmp_path / "model.safetensors", 8, path, Provenance("factors"))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert read_embedding_table(tmp_path / "a.safetensors").rows.shape == (100, 8)
    write_tensors(tmp_path / "none.safetensors", {"x": np.zeros(3, np.float32)}, Provenance("source"), {})
    with pytest.raises(ArtifactError, match="names no table of embeddings"):
        write_factors(tmp_path / "none.safetensors", 8, tmp_path / "c.safetensors", Provenance("factors"))
