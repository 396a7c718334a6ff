"""Vectors of tokens as means of word vectors, and the source tokens most similar to them."""

from __future__ import annotations

import warnings
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch.nn import functional

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
_EPSILON = 1e-12
_BLOCK_ROWS = 1 << 16


def mean_vectors(weights: csr_matrix, vectors: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Weighted mean of the vectors of each token's matched words.

    Args:
        weights: (V, words) float32 CSR, not negative; a row is normalized to sum 1.
        vectors: (words, dim) float32.

    Returns:
        (V, dim) float32, zero for tokens without a matched word, and (V,) bool: which tokens have one.
    """
    sums = np.asarray(weights.sum(axis=1), dtype=np.float64).ravel()
    known = sums > 0
    scale = np.divide(1.0, sums, out=np.zeros_like(sums), where=known).astype(np.float32)
    rows = _weighted_sums(weights, vectors)
    rows *= scale[:, None]
    return rows, known


def _weighted_sums(weights: csr_matrix, vectors: Floats) -> Floats:
    """`weights @ vectors`; torch's kernel is several times as fast as scipy's and uses all threads.

    Each row is summed in the order in which it is stored, by one thread: the result does not depend on their number.
    """
    if not weights.nnz:
        return np.zeros((weights.shape[0], vectors.shape[1]), dtype=np.float32)
    bags = functional.embedding_bag(
        _tensor(weights.indices),
        _tensor(vectors),
        _tensor(weights.indptr),
        mode="sum",
        per_sample_weights=_tensor(weights.data.astype(np.float32, copy=False)),
        include_last_offset=True,
    )
    rows: Floats = bags.numpy()
    return rows


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """The array as a tensor that shares its memory; it is only read."""
    with warnings.catch_warnings():
        # torch warns of arrays that must not be written, such as memory maps
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(array))


def normalized(rows: Floats) -> Floats:
    """Rows divided by their Euclidean norm (zero rows stay zero)."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = (rows / np.maximum(norms, _EPSILON)).astype(np.float32)
    return unit


def scaled(vectors: Floats) -> Floats:
    """Rows scaled to norm sqrt(width), so that components are about 1; made in blocks, as there can be millions."""
    rows = np.empty(vectors.shape, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        norms = np.linalg.norm(block, axis=1, keepdims=True)
        rows[start : start + len(block)] = block / np.maximum(norms, 1e-12) * np.sqrt(vectors.shape[1])
    return rows


def most_similar(queries: Floats, keys: Floats, top_k: int) -> tuple[Floats, Integers]:
    """Cosines and indices of the keys most similar to each query.

    Args:
        queries: (N, dim); keys: (M, dim).

    Returns:
        (N, k) falling cosines and (N, k) indices of keys, with k = min(top_k, M). Memory does not grow with N * M.
    """
    top_k = min(top_k, len(keys))
    cosines, nearest = faiss.knn(normalized(queries), normalized(keys), top_k, metric=faiss.METRIC_INNER_PRODUCT)
    return cosines, nearest


def similar_weights(queries: Floats, keys: Floats, usable: NDArray[np.bool_], top_k: int, temperature: float) -> csr_matrix:
    """Weights of the keys most similar to each query: softmax over the top k of cos / temperature (OFA section 3.3).

    Args:
        queries: (N, dim); keys: (M, dim); usable: (M,) keys that count.

    Returns:
        (N, M) float32 CSR; the weights of a row sum to 1 and fall.
    """
    known = np.flatnonzero(usable)
    cosines, nearest = most_similar(queries, keys[known], top_k)
    weights = np.exp((cosines - cosines[:, :1]) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    starts = np.arange(len(queries) + 1) * nearest.shape[1]
    return csr_matrix((weights.ravel(), known[nearest.ravel()], starts), shape=(len(queries), len(keys)))
