"""Reading the factors of an embedding matrix: apart from how they are made, so that a change there reruns no reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexigraft.artifacts import read_tensors

STAGE = "factors"
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Factors:
    """E ~ F P.

    Attributes:
        coordinates: F, (V, D') float32, orthonormal columns; E itself where it is not factorized.
        primitives: P, (D', D) float32, orthogonal rows of norm S; the identity where E is not factorized.
        singular_values: S, (D',) float32, falling; ones where E is not factorized. In both cases F * S are coordinates of the
            rows of E in an orthonormal basis, so that distances between them are those between embeddings.
    """

    coordinates: Floats
    primitives: Floats
    singular_values: Floats

    @property
    def is_full(self) -> bool:
        """Whether F is the embedding matrix itself, P the identity."""
        dim, width = self.primitives.shape
        return dim == width and bool(np.array_equal(self.primitives, np.eye(width, dtype=np.float32)))


def read_factors(path: Path) -> Factors:
    """Read what `write_factors` wrote."""
    return Factors(**read_tensors(path, STAGE))
