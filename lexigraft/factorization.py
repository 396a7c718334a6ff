"""Factorisation of an embedding matrix E = F P into coordinates F and primitive embeddings P.

OFA (Liu et al. 2024, https://aclanthology.org/2024.findings-naacl.68, section 3.1): thin SVD E = U S Vt, F = U[:, :D'],
P = diag(S[:D']) Vt[:D'].
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.linalg import eigh

from lexigraft.artifacts import Provenance, read_tensors, write_tensors
from lexigraft.errors import ArtifactError, ConfigError, InputError

log = logging.getLogger(__name__)

STAGE = "factors"
Floats = NDArray[np.float32]
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Factors:
    """E ~ F P.

    Attributes:
        coordinates: F, (V, D') float32, orthonormal columns.
        primitives: P, (D', D) float32, orthogonal rows of norm S.
        singular_values: S, (D',) float32, falling.
    """

    coordinates: Floats
    primitives: Floats
    singular_values: Floats


def factorize(embeddings: Floats, rank: int, where: object = None) -> Factors:
    """Factorise E (V, D) to rank D' through the eigenvectors of E^T E (D, D), accumulated in float64.

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
    if not np.isfinite(gram).all():
        raise InputError("the embedding matrix holds NaN or infinity", where=where, hint="use an undamaged checkpoint")
    values, vectors = eigh(gram, subset_by_index=[width - rank, width - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    if values[-1] <= values[0] * width * np.finfo(np.float64).eps:
        usable = int(np.sum(values > values[0] * width * np.finfo(np.float64).eps))
        raise InputError(f"D' = {rank} but the embedding matrix has rank {usable}", where=where, hint=f"use at most {usable}")
    singular = np.sqrt(values)
    vectors = vectors * np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(rank)])
    coordinates = np.empty((rows, rank), dtype=np.float32)
    for start in range(0, rows, _BLOCK_ROWS):
        block = embeddings[start : start + _BLOCK_ROWS].astype(np.float64)
        coordinates[start : start + len(block)] = block @ vectors / singular
    kept = values.sum() / np.trace(gram)
    log.info("E (%d, %d) to D' = %d: %.1f %% of the squared norm kept", rows, width, rank, 100 * kept)
    return Factors(coordinates, (vectors * singular).T.astype(np.float32), singular.astype(np.float32))


def write_factors(model: Path, rank: int, path: Path, provenance: Provenance) -> None:
    """Factorise the word embeddings of a source artifact and write coordinates, primitives and singular values.

    Raises:
        ArtifactError: the file is damaged or has no word embeddings.
    """
    factors = factorize(read_word_embeddings(model), rank, where=f"{model}, dim: {rank}")
    tensors = {
        "coordinates": factors.coordinates,
        "primitives": factors.primitives,
        "singular_values": factors.singular_values,
    }
    write_tensors(path, tensors, provenance)


def read_word_embeddings(model: Path) -> Floats:
    """The word embedding matrix E, (V, D) float32, of a source artifact."""
    with safe_open(str(model), framework="np") as handle:
        names = [name for name in handle.keys() if name.endswith("word_embeddings.weight")]  # noqa: SIM118
    if len(names) != 1:
        raise ArtifactError(f"expected one word embedding matrix, found {names}", where=model, hint="make the source again")
    embeddings: Floats = read_tensors(model, "source", names)[names[0]]
    return embeddings


def read_factors(path: Path) -> Factors:
    """Read what `write_factors` wrote."""
    return Factors(**read_tensors(path, STAGE))
