"""What every initializer is given and returns."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lexigraft.settings import Settings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from lexigraft.tokenizers.vocabulary import Vocabulary
    from lexigraft.word_vectors.table import WordVectors

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

COPIED, COMPUTED, MEAN, RANDOM = 0, 1, 2, 3
ORIGINS = ("copied", "computed", "mean", "random")
"""How a target token's row was made: copied from the source, computed from word vectors, the mean of F, or drawn at random."""


class Predictor(Protocol):
    """A trained hypernetwork: predicts coordinates from the words of tokens."""

    def __call__(self, weights: csr_matrix) -> Floats:
        """Return rows (tokens, D') for tokens by the weights (tokens, words) of their words; each has a word.

        The weights must be made as the network's options say (`parts.evidence.word_evidence`).
        """


@dataclass(frozen=True, slots=True)
class View:
    """Everything an initializer may look at.

    Attributes:
        coordinates: F of the source model, (V_s, D') float32.
        singular_values: of the source embedding matrix, (D',) float32.
        source, target: the two vocabularies.
        source_matches, target_matches: how often each word matched each token, (V, words) float32 CSR.
        vectors: the word vectors and what is known of each word.
        source_languages: languages that the source model was pretrained on.
        seed: for everything random.
        hypernetwork: a trained network where the method names one.
    """

    coordinates: Floats
    singular_values: Floats
    source: Vocabulary
    target: Vocabulary
    source_matches: csr_matrix
    target_matches: csr_matrix
    vectors: WordVectors
    source_languages: tuple[str, ...]
    seed: int
    hypernetwork: Predictor | None = None


@dataclass(frozen=True, slots=True)
class Initialization:
    """Target coordinates and how each was made.

    Attributes:
        coordinates: F_t, (V_t, D') float32.
        origin: (V_t,) int8, indices into `ORIGINS`.
        source_ids: (V_t,) int64, the source token a row was copied from, -1 elsewhere.
    """

    coordinates: Floats
    origin: NDArray[np.int8]
    source_ids: Integers

    def put(self, tokens: Integers, rows: Floats) -> None:
        """Set rows (len(tokens), D') that were computed from word vectors; such tokens are no copies."""
        self.coordinates[tokens], self.origin[tokens], self.source_ids[tokens] = rows, COMPUTED, -1

    def counts(self) -> dict[str, int]:
        """Number of tokens of each origin; they add up to the vocabulary."""
        return {name: int(np.sum(self.origin == index)) for index, name in enumerate(ORIGINS)}


class Initializer(Settings):
    """A method: its options as settings, and the rows it makes from a view."""

    @abstractmethod
    def initialize(self, view: View) -> Initialization:
        """Return coordinates for every target token."""
