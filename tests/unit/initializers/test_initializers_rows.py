"""Token vectors and similar tokens against float64, whatever the number of threads or the memory that arrays lie in."""

from __future__ import annotations

import warnings
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from lexigraft.word_vectors.similarity import mean_vectors, most_similar, similar_weights


def weights_of(rng: np.random.Generator, tokens: int, words: int, density: float) -> csr_matrix:
    made = rng.random((tokens, words)) * (rng.random((tokens, words)) < density)
    return csr_matrix(made.astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tokens=st.integers(1, 40),
    words=st.integers(1, 60),
    dim=st.integers(1, 33),
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
def test_token_vectors_are_weighted_means(seed: int, tokens: int, words: int, dim: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    weights, vectors = weights_of(rng, tokens, words, density), rng.standard_normal((words, dim)).astype(np.float32)
    made, known = mean_vectors(weights, vectors)
    assert (made.dtype, made.shape) == (np.float32, (tokens, dim))
    dense = weights.toarray().astype(np.float64)
    np.testing.assert_array_equal(known, dense.sum(axis=1) > 0)
    for token in range(tokens):
        total = dense[token].sum()
        expected = dense[token] @ vectors.astype(np.float64) / total if total > 0 else np.zeros(dim)
        np.testing.assert_allclose(made[token], expected, atol=2e-6)


def test_the_number_of_threads_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    weights, vectors = weights_of(rng, 2000, 500, 0.05), rng.standard_normal((500, 40)).astype(np.float32)
    keys, queries = rng.standard_normal((3000, 40)).astype(np.float32), rng.standard_normal((500, 40)).astype(np.float32)
    made, before = [], (torch.get_num_threads(), faiss.omp_get_max_threads())
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            faiss.omp_set_num_threads(threads)
            made.append((mean_vectors(weights, vectors)[0], most_similar(queries, keys, 10)[1]))
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])
    for other in made[1:]:
        np.testing.assert_array_equal(made[0][0], other[0])
        np.testing.assert_array_equal(made[0][1], other[1])


def test_arrays_that_must_not_be_written_are_read_where_they_lie(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights, vectors = weights_of(rng, 20, 30, 0.2), rng.standard_normal((30, 7)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, _ = mean_vectors(weights, mapped)
    np.testing.assert_array_equal(made, mean_vectors(weights, vectors)[0])


@pytest.mark.parametrize("keys", [4, 10, 5000])
def test_most_similar_are_the_top_of_all_cosines(keys: int) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((300, 20)), rng.standard_normal((keys, 20)) * rng.uniform(0.1, 9, (keys, 1))
    cosines, nearest = most_similar(one.astype(np.float32), other.astype(np.float32), 10)
    count = min(10, keys)
    assert cosines.shape == nearest.shape == (300, count)
    exact = one @ other.T / np.linalg.norm(one, axis=1)[:, None] / np.linalg.norm(other, axis=1)
    order = np.argsort(-exact, axis=1)[:, :count]
    np.testing.assert_array_equal(np.sort(nearest, axis=1), np.sort(order, axis=1))
    np.testing.assert_allclose(cosines, np.take_along_axis(exact, order, axis=1), atol=1e-6)


@pytest.mark.parametrize("count", [90, 7])
def test_similar_weights_are_a_softmax_over_the_usable_keys_even_if_few(count: int) -> None:
    rng = np.random.default_rng(2)
    queries, keys = rng.standard_normal((50, 8)).astype(np.float32), rng.standard_normal((count, 8)).astype(np.float32)
    usable = rng.random(count) < 0.7
    found = similar_weights(queries, keys, usable, 10, 0.1)
    assert found.shape == (50, count)
    exact = queries.astype(np.float64) @ keys.T.astype(np.float64)
    exact /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(keys, axis=1)
    exact[:, ~usable] = -np.inf
    for token, cosine in enumerate(exact):
        top = np.argsort(-cosine)[:10]
        share = np.exp(cosine[top] / 0.1)
        expected = np.zeros(count)
        expected[top] = share / share.sum()
        np.testing.assert_allclose(found[token].toarray()[0], expected, atol=1e-6)
        assert (np.diff(found[token].data) <= 0).all()
