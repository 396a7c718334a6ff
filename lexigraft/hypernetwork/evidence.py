"""A trained hypernetwork as evidence: it predicts rows of a table from the words of tokens (docs/methods.md, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from lexigraft.evidence.base import Evidence, TokenPair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


class Predictor(Protocol):
    """Predicts rows of the table that it was trained on."""

    def __call__(self, weights: csr_matrix) -> NDArray[np.float32]:
        """Return rows (tokens, D') for tokens by the weights (tokens, words) of their words; each has a word.

        The weights must be made with the word options that the network was trained with.
        """


@dataclass(frozen=True, slots=True)
class Network(Evidence):
    """The network that a method names in its option `hypernetwork`, trained on the table of one source model at one D'."""

    chosen_by: ClassVar[tuple[str, ...]] = ("word_vectors",)
    files: ClassVar[Mapping[str, str]] = {
        "network": "hypernetwork.network",
        "words": "word_vectors.words",
        "vectors": "word_vectors.vectors",
    }

    predict: Predictor

    @classmethod
    def read(cls, files: Mapping[str, Path], tokens: TokenPair, gpus: int = 0) -> Self:  # noqa: ARG003
        """Load the network to the device that `gpus` allows; see `Evidence.read`."""
        from lexigraft.devices import device_for
        from lexigraft.hypernetwork.predict import load_predictor
        from lexigraft.word_vectors.table import read_word_vectors

        vectors = read_word_vectors(files["words"], files["vectors"])
        return cls(load_predictor(files["network"], vectors, device_for(gpus)))
