"""Factors of an embedding matrix of XLM-R's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harness import Arrays, Case, benchmark, cached
from lexigraft.factors.factorize import factorize

ROWS, WIDTH, RANK = 250_000, 768, 400


@benchmark("factors of 250,000 x 768 at D' = 400", plain="eigenvectors of E^T E in float64 with numpy", goal=0.9, lighter=0.6)
def factors(fraction: float) -> Case:
    rows = round(ROWS * fraction)
    embeddings = np.load(cached(f"embeddings-{rows}.npy", lambda path: _make(path, rows)), allow_pickle=False)

    def plain() -> Arrays:
        exact = embeddings.astype(np.float64)
        squares, vectors = np.linalg.eigh(exact.T @ exact)
        singular, axes = np.sqrt(squares[::-1][:RANK]), vectors[:, ::-1][:, :RANK]
        return {"f": (exact @ (axes / singular)).astype(np.float32), "p": (singular * axes).T.astype(np.float32)}

    def ours() -> Arrays:
        made = factorize(embeddings, RANK)
        return {"f": made.coordinates, "p": made.primitives}

    def same(one: Arrays, other: Arrays) -> str:
        errors = [_error(embeddings, arrays) for arrays in (one, other)]
        difference = abs(errors[1] / errors[0] - 1)
        assert difference < 1e-5, f"reconstruction errors {errors}"
        return f"reconstruction errors equal to {difference:.0e}"

    return Case(ours, plain, same)


def _error(embeddings: np.ndarray, factors: Arrays) -> float:
    """Frobenius norm of E - F P, in float64 and in blocks."""
    squared, primitives = 0.0, factors["p"].astype(np.float64)
    for first in range(0, len(embeddings), 16_384):
        part = slice(first, first + 16_384)
        squared += float(np.square(embeddings[part] - factors["f"][part].astype(np.float64) @ primitives).sum())
    return float(np.sqrt(squared))


def _make(path: Path, rows: int) -> None:
    """Rows with a common mean and a spectrum that falls as in trained embeddings, by about 1 / sqrt(k)."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0] * (0.3 / np.sqrt(np.arange(1, WIDTH + 1)))[:, None]
    made = np.empty((rows, WIDTH), dtype=np.float32)
    for first in range(0, rows, 16_384):
        part = made[first : first + 16_384]
        part[:] = rng.standard_normal(part.shape) @ basis + basis[0] * 2
    np.save(path, made)
