"""Methods whose dense rows are a hypernetwork's predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexigraft.evidence.base import Evidence, EvidenceSet, TokenPair
from lexigraft.evidence.word_matches import WordMatches
from lexigraft.hypernetwork.evidence import Network
from lexigraft.initializers.parts.base import Rows
from lexigraft.initializers.parts.word_method import WordMethod
from lexigraft.settings import NameTemplate

if TYPE_CHECKING:
    from lexigraft.factors.tables import EmbeddingTable
    from lexigraft.initializers.parts.token_vectors import TokenVectors
    from lexigraft.token_maps.token_map import Integers


class NetworkMethod(WordMethod):
    """A method that adds a share of a hypernetwork's prediction to the rows of some tokens.

    The network reads the words that it was trained on, so the word options of such a method are those of its network.
    """

    hypernetwork: NameTemplate | None = None

    @property
    def row_needs(self) -> tuple[type[Evidence], ...]:
        """The network and the words of the tokens, where the method names a network."""
        return () if self.hypernetwork is None else (WordMatches, Network)

    @property
    def share(self) -> float:
        """Weight of the prediction in a row."""
        return 1.0

    def predicted(self, vectors: TokenVectors) -> Integers:
        """Target tokens whose rows are predicted."""
        return self.computed(vectors)

    def rows(self, table: EmbeddingTable, tokens: TokenPair, evidence: EvidenceSet, seed: int) -> Rows | None:  # noqa: ARG002
        """Predictions for the tokens with words, times their share."""
        if self.hypernetwork is None:
            return None
        vectors = self.vectors(tokens, evidence)
        chosen = self.predicted(vectors)
        values = evidence[Network].predict(vectors.target_weights[chosen])
        return Rows(chosen, values if self.share == 1 else values * self.share)
