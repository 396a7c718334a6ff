"""Building blocks of initializers: random rows, token vectors, and combinations of similar source tokens."""

from __future__ import annotations

import warnings
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch.nn import functional

from lexigraft.initializers.base import COPIED, MEAN, RANDOM, Floats, Initialization, Integers, View

_EPSILON = 1e-12
_GATHERED = 1 << 24
"""Numbers that are gathered at a time."""


def random_rows(coordinates: Floats, count: int, seed: int) -> Floats:
    """Draw (count, D') rows, each dimension from N(mean, std) of F's column (OFA section 3.3)."""
    rng = np.random.default_rng(seed)
    mean, std = coordinates.mean(axis=0, dtype=np.float64), coordinates.std(axis=0, dtype=np.float64)
    rows: Floats = (mean + std * rng.standard_normal((count, coordinates.shape[1]))).astype(np.float32)
    return rows


def start(view: View, source_ids: Integers, fallback: str = "random") -> Initialization:
    """Rows of F for the tokens that are copied (`source_ids` >= 0), random or mean rows for all others.

    Random rows are drawn for the whole vocabulary, so a token's draw does not depend on which others are copied.
    """
    copied = source_ids >= 0
    if fallback == "mean":
        mean = view.coordinates.mean(axis=0, dtype=np.float64).astype(np.float32)
        rows = np.tile(mean, (len(view.target), 1))
    else:
        rows = random_rows(view.coordinates, len(view.target), view.seed)
    rows[copied] = view.coordinates[source_ids[copied]]
    origin = np.where(copied, COPIED, MEAN if fallback == "mean" else RANDOM).astype(np.int8)
    return Initialization(rows, origin, source_ids.copy())


def token_vectors(weights: csr_matrix, vectors: Floats) -> tuple[Floats, NDArray[np.bool_]]:
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


def similar_combination(queries: Floats, keys: Floats, rows: Floats, top_k: int, temperature: float) -> Floats:
    """Convex combination of the rows whose keys are most similar to each query (OFA section 3.3).

    weights = softmax over the top k of cos(query, key) / temperature.

    Args:
        queries: (N, dim); keys: (M, dim); rows: (M, D'), the source coordinates of the keys.

    Returns:
        (N, D') float32.
    """
    cosines, nearest = most_similar(queries, keys, top_k)
    weights = np.exp((cosines - cosines[:, :1]) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    combined = np.empty((len(queries), rows.shape[1]), dtype=np.float32)
    block = max(1, _GATHERED // (nearest.shape[1] * rows.shape[1]))
    for first in range(0, len(queries), block):
        part = slice(first, first + block)
        combined[part] = np.einsum("nk,nkd->nd", weights[part], rows[nearest[part]])
    return combined
