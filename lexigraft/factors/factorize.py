"""Factorization of an embedding matrix E = F P into coordinates F and primitive embeddings P.

OFA (Liu et al. 2024, https://aclanthology.org/2024.findings-naacl.68, section 3.1): thin SVD E = U S Vt, F = U[:, :D'],
P = diag(S[:D']) Vt[:D']. With D' = `full` nothing is factorized, and this stage does not run.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from lexigraft.artifacts import Provenance, write_tensors
from lexigraft.errors import ConfigError, InputError
from lexigraft.factors.tables import EmbeddingTable, read_embedding_table

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
_BLOCK_ROWS = 4096


def factorize(embeddings: Floats, dim: int, where: object = None) -> EmbeddingTable:
    """Factorize E (V, D) to dim D' through the eigenvectors of E^T E (D, D), accumulated in float64.

    The Gram matrix gives the same subspace as the thin SVD at a fraction of its cost since V >> D. Signs are fixed: the
    largest entry of every row of P is positive.

    Raises:
        ConfigError: `dim` is larger than the width of E.
        InputError: E holds NaN, or its numerical rank is below `dim`.
    """
    rows, width = embeddings.shape
    if dim > width:
        raise ConfigError(f"D' = {dim} is larger than the model's width {width}", where=where, hint=f"use at most {width}")
    gram = np.zeros((width, width))
    for start in range(0, rows, _BLOCK_ROWS):
        block = embeddings[start : start + _BLOCK_ROWS].astype(np.float64)
        gram += block.T @ block
    _check_finite(gram, where)
    # all eigenpairs: asking for some takes LAPACK's bisection, which is slower than finding all of them
    values, vectors = eigh(gram, driver="evd")
    values, vectors = values[::-1], vectors[:, ::-1]
    least = values[0] * width * np.finfo(np.float64).eps
    if values[dim - 1] <= least:
        usable = int(np.sum(values > least))
        raise InputError(f"D' = {dim} but the embedding matrix has rank {usable}", where=where, hint=f"use at most {usable}")
    values, vectors = values[:dim], vectors[:, :dim]
    singular = np.sqrt(values)
    vectors = vectors * np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(dim)])
    onto, coordinates = vectors / singular, np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, _BLOCK_ROWS):
        block = embeddings[start : start + _BLOCK_ROWS].astype(np.float64)
        coordinates[start : start + len(block)] = block @ onto
    kept = values.sum() / np.trace(gram)
    log.info("E (%d, %d) to D' = %d: %.1f %% of the squared norm kept", rows, width, dim, 100 * kept)
    return EmbeddingTable(coordinates, singular.astype(np.float32), (vectors * singular).T.astype(np.float32))


def write_factors(weights: Path, dim: int, path: Path, provenance: Provenance) -> None:
    """Factorize the word embeddings of a source model and write coordinates, primitives and singular values.

    Args:
        weights: `model.safetensors` of the source.
        dim: D'.

    Raises:
        ArtifactError: the file is damaged or has no word embeddings.
        ConfigError, InputError: see `factorize`.
    """
    found = factorize(read_embedding_table(weights).rows, dim, f"{weights}, dim: {dim}")
    assert found.primitives is not None
    tensors = {"coordinates": found.rows, "primitives": found.primitives, "singular_values": found.scale}
    write_tensors(path, tensors, provenance)


def _check_finite(values: NDArray[np.floating[Any]], where: object) -> None:
    blocks = range(0, len(values), _BLOCK_ROWS)
    if not all(np.isfinite(values[start : start + _BLOCK_ROWS]).all() for start in blocks):
        raise InputError("the embedding matrix holds NaN or infinity", where=where, hint="use an undamaged checkpoint")
