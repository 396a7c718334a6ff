"""Factorization of an embedding matrix E = F P into coordinates F and primitive embeddings P.

OFA (Liu et al. 2024, https://aclanthology.org/2024.findings-naacl.68, section 3.1): thin SVD E = U S Vt, F = U[:, :D'],
P = diag(S[:D']) Vt[:D']. With D' = `full` nothing is factorized: F = E and P is the identity.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.linalg import eigh

from lexigraft.artifacts import Provenance, read_tensors, write_tensors
from lexigraft.errors import ArtifactError, ConfigError, InputError
from lexigraft.factors.read import Factors
from lexigraft.modeling.families import input_weights

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
_BLOCK_ROWS = 4096


def factorize(embeddings: Floats, rank: int, where: object = None) -> Factors:
    """Factorize E (V, D) to rank D' through the eigenvectors of E^T E (D, D), accumulated in float64.

    The Gram matrix gives the same subspace as the thin SVD at a fraction of its cost since V >> D. Signs are fixed: the
    largest entry of every row of P is positive.

    Raises:
        ConfigError: `rank` is larger than the width of E.
        InputError: E holds NaN, or its numerical rank is below `rank`.
    """
    rows, width = embeddings.shape
    if rank > width:
        raise ConfigError(f"D' = {rank} is larger than the model's width {width}", where=where, hint=f"use at most {width}")
    gram = np.zeros((width, width))
    for start in range(0, rows, _BLOCK_ROWS):
        block = embeddings[start : start + _BLOCK_ROWS].astype(np.float64)
        gram += block.T @ block
    _check_finite(gram, where)
    # all eigenpairs: asking for some takes LAPACK's bisection, which is slower than finding all of them
    values, vectors = eigh(gram, driver="evd")
    values, vectors = values[::-1], vectors[:, ::-1]
    least = values[0] * width * np.finfo(np.float64).eps
    if values[rank - 1] <= least:
        usable = int(np.sum(values > least))
        raise InputError(f"D' = {rank} but the embedding matrix has rank {usable}", where=where, hint=f"use at most {usable}")
    values, vectors = values[:rank], vectors[:, :rank]
    singular = np.sqrt(values)
    vectors = vectors * np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(rank)])
    onto, coordinates = vectors / singular, np.empty((rows, rank), dtype=np.float32)
    for start in range(0, rows, _BLOCK_ROWS):
        block = embeddings[start : start + _BLOCK_ROWS].astype(np.float64)
        coordinates[start : start + len(block)] = block @ onto
    kept = values.sum() / np.trace(gram)
    log.info("E (%d, %d) to D' = %d: %.1f %% of the squared norm kept", rows, width, rank, 100 * kept)
    return Factors(coordinates, (vectors * singular).T.astype(np.float32), singular.astype(np.float32))


def unfactorized(embeddings: Floats, where: object = None) -> Factors:
    """E as its own coordinates: D' = `full`.

    Raises:
        InputError: E holds NaN or infinity.
    """
    _check_finite(embeddings, where)
    width = embeddings.shape[1]
    log.info("E (%d, %d) is kept as it is: nothing is factorized", *embeddings.shape)
    return Factors(embeddings, np.eye(width, dtype=np.float32), np.ones(width, dtype=np.float32))


def write_factors(model: Path, dim: int | Literal["full"], path: Path, provenance: Provenance) -> None:
    """Factorize the word embeddings of a source artifact and write coordinates, primitives and singular values.

    Args:
        model: `model.safetensors` of the source.
        dim: D', or `full` for E as it is.

    Raises:
        ArtifactError: the file is damaged or has no word embeddings.
        ConfigError, InputError: see `factorize`.
    """
    embeddings, where = read_word_embeddings(model), f"{model}, dim: {dim}"
    factors = unfactorized(embeddings, where) if dim == "full" else factorize(embeddings, dim, where)
    tensors = {
        "coordinates": factors.coordinates,
        "primitives": factors.primitives,
        "singular_values": factors.singular_values,
    }
    write_tensors(path, tensors, provenance)


def read_word_embeddings(model: Path) -> Floats:
    """The word embedding matrix E, (V, D) float32, of a source artifact."""
    with safe_open(str(model), framework="np") as handle:
        names = [name for name in handle.keys() if name in input_weights()]  # noqa: SIM118
    if len(names) != 1:
        raise ArtifactError(f"expected one word embedding matrix, found {names}", where=model, hint="make the source again")
    embeddings: Floats = read_tensors(model, "source", names)[names[0]]
    return embeddings


def _check_finite(values: NDArray[np.floating[Any]], where: object) -> None:
    blocks = range(0, len(values), _BLOCK_ROWS)
    if not all(np.isfinite(values[start : start + _BLOCK_ROWS]).all() for start in blocks):
        raise InputError("the embedding matrix holds NaN or infinity", where=where, hint="use an undamaged checkpoint")
