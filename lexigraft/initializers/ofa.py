"""OFA (Liu et al. 2024, https://aclanthology.org/2024.findings-naacl.68)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from lexigraft.initializers.base import WISE, Initialization, Initializer, View


class OFA(Initializer):
    """Copy the overlap; tokens with word vectors become combinations of the source tokens most similar to them.

    A token's vector is the mean of its matched words' vectors (a multiset: a word counts once per variant that matched).
    """

    initializer: Literal["ofa"] = "ofa"
    top_k: PositiveInt = 10
    temperature: PositiveFloat = 0.1

    def initialize(self, view: View) -> Initialization:
        from lexigraft.initializers.parts.overlap import overlap
        from lexigraft.initializers.parts.rows import similar_combination, start, token_vectors

        result = start(view, overlap(view.source, view.target))
        source_vectors, source_known = token_vectors(view.source_matches, view.vectors.vectors)
        target_vectors, target_known = token_vectors(view.target_matches, view.vectors.vectors)
        wise = np.flatnonzero(target_known & (result.source_ids < 0))
        result.coordinates[wise] = similar_combination(
            target_vectors[wise], source_vectors[source_known], view.coordinates[source_known], self.top_k, self.temperature
        )
        result.origin[wise] = WISE
        return result
