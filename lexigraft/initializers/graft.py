"""`graft`: OFA with cleaner evidence, and optionally a hypernetwork's share (docs/methods.md, section 12)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lexigraft.initializers.base import WISE, Floats, Initialization, Initializer, Integers, View
from lexigraft.settings import Name


class Graft(Initializer):
    """OFA with four changes, each of which can be switched off, and a share of a hypernetwork's prediction."""

    initializer: Literal["graft"] = "graft"
    top_k: PositiveInt = 10
    temperature: PositiveFloat = 0.1
    source_word_languages: bool = True
    """Source tokens are matched with words of the source model's own languages only: others are label noise."""
    word_weights: bool = True
    """Words weigh min(1, len(token) / len(word)) * sqrt(sentences with the word) in a token's vector."""
    verify_copies: float | None = Field(default=0.1, ge=-1, le=1)
    """Copy a shared token only if the cosine of its source and target vectors reaches this; None copies all."""
    fallback: Literal["mean", "random"] = "mean"
    """Rows of tokens without word vectors: the mean of F, or random."""
    hypernetwork: Name | None = None
    hypernetwork_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of the hypernetwork's prediction in the row of every token with word vectors, copies included."""

    @model_validator(mode="after")
    def _share_needs_network(self) -> Self:
        if (self.hypernetwork_share > 0) != (self.hypernetwork is not None):
            raise ValueError("`hypernetwork` and a `hypernetwork_share` above 0 go together")
        return self

    def initialize(self, view: View) -> Initialization:
        from lexigraft.initializers.parts.evidence import word_evidence
        from lexigraft.initializers.parts.overlap import overlap
        from lexigraft.initializers.parts.rows import similar_combination, start, token_vectors

        words, vectors = view.vectors, view.vectors.vectors
        own = view.source_languages if self.source_word_languages else None
        source_weights = word_evidence(
            view.source_matches, view.source.surfaces, words, weighted=self.word_weights, languages=own
        )
        target_weights = word_evidence(view.target_matches, view.target.surfaces, words, weighted=self.word_weights)
        source_vectors, source_known = token_vectors(source_weights, vectors)
        target_vectors, target_known = token_vectors(target_weights, vectors)
        shared = overlap(view.source, view.target)
        source_ids = self.verified(shared, source_vectors, source_known, target_vectors, target_known)
        result = start(view, source_ids, self.fallback)
        wise = np.flatnonzero(target_known & (source_ids < 0))
        result.coordinates[wise] = similar_combination(
            target_vectors[wise], source_vectors[source_known], view.coordinates[source_known], self.top_k, self.temperature
        )
        result.origin[wise] = WISE
        if view.hypernetwork is not None:
            known = np.flatnonzero(target_known)
            predicted = view.hypernetwork(target_weights, known)
            result.coordinates[known] *= 1 - self.hypernetwork_share
            result.coordinates[known] += self.hypernetwork_share * predicted
            # blended copies are copies no longer
            result.origin[known], result.source_ids[known] = WISE, -1
        return result

    def verified(
        self,
        source_ids: Integers,
        source_vectors: Floats,
        source_known: NDArray[np.bool_],
        target_vectors: Floats,
        target_known: NDArray[np.bool_],
    ) -> Integers:
        """Shared tokens without the false friends, whose vectors in the source and target languages disagree.

        A token without a vector on either side cannot be checked and stays copied.
        """
        from lexigraft.initializers.parts.rows import normalized

        if self.verify_copies is None:
            return source_ids
        checked = np.flatnonzero((source_ids >= 0) & target_known & source_known[source_ids])
        theirs, ours = normalized(source_vectors[source_ids[checked]]), normalized(target_vectors[checked])
        cosine = np.einsum("nd,nd->n", theirs, ours)
        kept = source_ids.copy()
        kept[checked[cosine < self.verify_copies]] = -1
        return kept
