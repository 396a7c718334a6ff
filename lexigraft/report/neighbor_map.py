"""A map of source embeddings, and places for target embeddings on it.

The map is an exact t-SNE (van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html) of source rows,
started from their two principal components, without anything random. Target rows do not move the map: each is placed among its
nearest source rows, so that the pictures of several models can be compared point by point. Similarity is the cosine after the
mean source row is taken off, for the rows of most models share a large common direction.

t-SNE amplifies the last bits of its input, which depend on how many threads multiply matrices. So what it starts from is
rounded, and its iterations use no library for linear algebra: the map is the same with any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexigraft.token_maps.nearest import unit

Floats = NDArray[np.float64]

_PERPLEXITY = 30.0
_ITERATIONS = 600
_EXAGGERATED = 150
_EXAGGERATION = 12.0
_NEIGHBORS = 10
_TEMPERATURE = 0.05
_DIGITS = 7


@dataclass(frozen=True, slots=True)
class NeighborMap:
    """Places of source rows.

    Attributes:
        mean: (D,) mean source row, taken off before cosines.
        rows: (n, D) source rows of the map, centered, unit length.
        places: (n, 2) their places; the longest side of the map is 2, its middle 0.
    """

    mean: Floats
    rows: Floats
    places: Floats

    def place(self, rows: NDArray[np.floating]) -> Floats:
        """Places (m, 2) of target rows (m, D): the mean place of the 10 most similar source rows, weights softmax(cos/.05)."""
        cosine = unit(rows - self.mean) @ self.rows.T
        count = min(_NEIGHBORS, cosine.shape[1])
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
        weights = np.exp((np.take_along_axis(cosine, nearest, 1) - cosine.max(1, keepdims=True)) / _TEMPERATURE)
        weights /= weights.sum(1, keepdims=True)
        found: Floats = np.einsum("mk,mkd->md", weights, self.places[nearest])
        return found


def make_map(rows: NDArray[np.floating]) -> NeighborMap:
    """Map source rows (n, D), n >= 3."""
    mean = rows.mean(axis=0, dtype=np.float64)
    centered = unit(rows - mean)
    places = tsne(centered)
    low, high = places.min(0), places.max(0)
    return NeighborMap(mean, centered, (places - (low + high) / 2) * 2 / max(float((high - low).max()), 1e-12))


def principal_plane(rows: Floats) -> Floats:
    """Coordinates (n, 2) of rows (n, D) on their first two principal axes; the largest entry of each axis is positive."""
    centered = rows - rows.mean(0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(2), np.argmax(np.abs(axes[:2]), axis=1)])[:, None]
    plane: Floats = centered @ axes.T
    return plane


def tsne(rows: Floats) -> Floats:
    """Exact t-SNE of rows (n, D) to (n, 2), O(n^2) in time and memory: gains and momentum as in the authors' implementation."""
    count = len(rows)
    similar = joint_similarities(rows, min(_PERPLEXITY, (count - 1) / 3))
    start = principal_plane(rows)
    places = np.round(start / max(float(start[:, 0].std()), 1e-12), _DIGITS) * 1e-4
    velocity, gains, gradient = np.zeros_like(places), np.ones_like(places), np.empty_like(places)
    kernel, pull, work = (np.empty((count, count)) for _ in range(3))
    # learning rate n / exaggeration: Belkina et al. 2019, https://doi.org/10.1038/s41467-019-13055-y
    rate = max(count / _EXAGGERATION, 50.0)
    attraction = similar * _EXAGGERATION
    for iteration in range(_ITERATIONS):
        if iteration == _EXAGGERATED:
            attraction = similar
        # kernel = 1 / (1 + squared distance), in place: the matrices are all that costs time here
        np.subtract.outer(places[:, 0], places[:, 0], out=kernel)
        np.subtract.outer(places[:, 1], places[:, 1], out=work)
        kernel *= kernel
        work *= work
        kernel += work
        kernel += 1.0
        np.reciprocal(kernel, out=kernel)
        np.fill_diagonal(kernel, 0.0)
        np.multiply(kernel, -1.0 / kernel.sum(), out=pull)
        pull += attraction
        pull *= kernel
        total = pull.sum(1)
        for axis in (0, 1):
            np.multiply(pull, places[:, axis], out=work)
            gradient[:, axis] = 4.0 * (total * places[:, axis] - work.sum(1))
        gains = np.maximum(np.where(np.sign(gradient) == np.sign(velocity), gains * 0.8, gains + 0.2), 0.01)
        velocity = (0.5 if iteration < _EXAGGERATED else 0.8) * velocity - rate * gains * gradient
        places = places + velocity
        places -= places.mean(0)
    return places


def joint_similarities(rows: Floats, perplexity: float) -> Floats:
    """Symmetric joint probabilities (n, n), sum 1: Gaussian kernels whose widths give every row the same perplexity."""
    count = len(rows)
    distances = np.round(squared_distances(rows), _DIGITS)
    np.fill_diagonal(distances, np.inf)
    distances -= distances.min(1, keepdims=True)  # a constant of each row cancels in its kernel
    low, high, precision = np.zeros(count), np.full(count, np.inf), np.ones(count)
    for _ in range(60):
        kernel = np.exp(-distances * precision[:, None])
        kernel /= kernel.sum(1, keepdims=True)
        entropy = -(kernel * np.log(np.maximum(kernel, 1e-300))).sum(1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        precision = np.where(np.isinf(high), precision * 2.0, (low + high) / 2.0)
    joint: Floats = (kernel + kernel.T) / (2.0 * count)
    return joint


def squared_distances(rows: Floats) -> Floats:
    """(n, n) squared Euclidean distances."""
    norms = np.einsum("nd,nd->n", rows, rows)
    distances: Floats = np.maximum(norms[:, None] + norms - 2.0 * rows @ rows.T, 0.0)
    return distances
