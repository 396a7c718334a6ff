"""Building blocks of initialisers: random rows, token vectors, and combinations of similar source tokens."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array

from lexigraft.initializers.base import COPIED, MEAN, RANDOM, Floats, Initialization, Integers, View

_EPSILON = 1e-12


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
    return Initialization(rows, origin, source_ids)


def token_vectors(weights: csr_matrix, vectors: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Weighted mean of the vectors of each token's matched words.

    Args:
        weights: (V, words) CSR, not negative; a row is normalised to sum 1.
        vectors: (words, dim) float32.

    Returns:
        (V, dim) float32, zero for tokens without a matched word, and (V,) bool: which tokens have one.
    """
    sums = np.asarray(weights.sum(axis=1), dtype=np.float64).ravel()
    known = sums > 0
    scale = np.divide(1.0, sums, out=np.zeros_like(sums), where=known).astype(np.float32)
    return np.asarray(diags_array(scale) @ weights @ vectors, dtype=np.float32), known


def normalized(rows: Floats) -> Floats:
    """Rows divided by their Euclidean norm (zero rows stay zero)."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = (rows / np.maximum(norms, _EPSILON)).astype(np.float32)
    return unit


def similar_combination(queries: Floats, keys: Floats, rows: Floats, top_k: int, temperature: float) -> Floats:
    """Convex combination of the rows whose keys are most similar to each query (OFA section 3.3).

    weights = softmax over the top k of cos(query, key) / temperature.

    Args:
        queries: (N, dim); keys: (M, dim); rows: (M, D'), the source coordinates of the keys.

    Returns:
        (N, D') float32.
    """
    top_k = min(top_k, len(keys))
    cosines, nearest = faiss.knn(normalized(queries), normalized(keys), top_k, metric=faiss.METRIC_INNER_PRODUCT)
    weights = np.exp((cosines - cosines[:, :1]) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    combined = np.empty((len(queries), rows.shape[1]), dtype=np.float32)
    block = max(1, (1 << 24) // (top_k * rows.shape[1]))
    for first in range(0, len(queries), block):
        part = slice(first, first + block)
        combined[part] = np.einsum("nk,nkd->nd", weights[part], rows[nearest[part]])
    return combined
