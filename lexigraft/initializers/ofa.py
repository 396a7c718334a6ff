"""OFA (Liu et al. 2024, https://aclanthology.org/2024.findings-naacl.68)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat, PositiveInt

from lexigraft.initializers.base import Initialization, View
from lexigraft.initializers.with_words import WordInitializer

if TYPE_CHECKING:
    from lexigraft.initializers.parts.gathered import Evidence


class SimilarTokens(WordInitializer):
    """Copy the overlap; tokens with word vectors become combinations of the source tokens most similar to them.

    A token's vector is the mean of its matched words' vectors (a multiset: a word counts once per variant that matched).
    """

    top_k: PositiveInt = 10
    temperature: PositiveFloat = 0.1

    def fill(self, view: View, evidence: Evidence, result: Initialization) -> None:
        """Softmax-weighted means of the rows of the `top_k` source tokens with the most similar vectors."""
        from lexigraft.initializers.parts.rows import similar_combination

        tokens, known = self.computed(evidence, result), evidence.source_matched
        queries, keys = evidence.target_vectors[tokens], evidence.source_vectors[known]
        result.put(tokens, similar_combination(queries, keys, view.coordinates[known], self.top_k, self.temperature))


class OFA(SimilarTokens):
    """`SimilarTokens` as published: all options off."""

    initializer: Literal["ofa"] = "ofa"
