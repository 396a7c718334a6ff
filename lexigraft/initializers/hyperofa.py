"""HyperOFA (Özeren, Liu & Schütze 2025, arXiv 2504.21018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lexigraft.initializers.base import Initialization, View
from lexigraft.initializers.with_words import WordInitializer
from lexigraft.settings import NameTemplate

if TYPE_CHECKING:
    from lexigraft.initializers.parts.gathered import Evidence


class HyperOFA(WordInitializer):
    """Copy the overlap; tokens with word vectors are predicted by a hypernetwork from the set of their words' vectors."""

    initializer: Literal["hyperofa"] = "hyperofa"
    hypernetwork: NameTemplate

    def fill(self, view: View, evidence: Evidence, result: Initialization) -> None:
        """Predictions of the hypernetwork."""
        assert view.hypernetwork is not None
        tokens = self.computed(evidence, result)
        result.put(tokens, view.hypernetwork(evidence.target_weights[tokens]))
