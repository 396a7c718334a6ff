"""OFA (Liu et al. 2024, https://aclanthology.org/2024.findings-naacl.68)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat, PositiveInt

from lexigraft.initializers.parts.word_method import WordMethod

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from lexigraft.initializers.parts.token_vectors import TokenVectors
    from lexigraft.token_maps.token_map import Integers


class SimilarTokens(WordMethod):
    """Copy the overlap; tokens with word vectors become combinations of the source tokens most similar to them.

    A token's vector is the mean of its matched words' vectors (a multiset: a word counts once per variant that matched).
    """

    top_k: PositiveInt = 10
    temperature: PositiveFloat = 0.1

    def mixing(self, vectors: TokenVectors, computed: Integers) -> csr_matrix:
        """Softmax weights of the `top_k` source tokens with the most similar vectors."""
        from lexigraft.word_vectors.similarity import similar_weights

        return similar_weights(
            vectors.target_vectors[computed], vectors.source_vectors, vectors.source_matched, self.top_k, self.temperature
        )


class OFA(SimilarTokens):
    """`SimilarTokens` as published: all options off."""

    initializer: Literal["ofa"] = "ofa"
