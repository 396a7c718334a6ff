"""`graft`: OFA with cleaner evidence, and optionally a hypernetwork's share (docs/methods.md, section 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lexigraft.initializers.base import Initialization, View
from lexigraft.initializers.ofa import SimilarTokens
from lexigraft.settings import NameTemplate

if TYPE_CHECKING:
    from lexigraft.initializers.parts.gathered import Evidence


DEFAULT_SHARE = 0.25
"""Best of what was tried on the development languages; docs/methods.md, section 12, has the comparison."""


class Graft(SimilarTokens):
    """OFA with seven options switched on, and a share of a hypernetwork's prediction."""

    initializer: Literal["graft"] = "graft"
    source_word_languages: bool = True
    word_weights: bool = True
    unit_words: bool = True
    verify_copies: float | None = Field(default=0.3, ge=-1, le=1)
    copies_need_words: bool = True
    contained_words: bool = True
    fallback: Literal["random", "mean"] = "mean"
    hypernetwork: NameTemplate | None = None
    hypernetwork_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Weight of the hypernetwork's prediction in the row of every token with word vectors, copies included: 0.25 by default."""

    @model_validator(mode="after")
    def _share_needs_network(self) -> Self:
        if self.hypernetwork_share is not None and self.hypernetwork is None:
            raise ValueError("`hypernetwork_share` needs a `hypernetwork`")
        return self

    def fill(self, view: View, evidence: Evidence, result: Initialization) -> None:
        """Combinations of similar tokens, then the hypernetwork's share in the row of every token with word vectors."""
        super().fill(view, evidence, result)
        if self.hypernetwork is None:
            return
        assert view.hypernetwork is not None
        known = np.flatnonzero(evidence.target_matched)
        predicted = view.hypernetwork(evidence.target_weights[known])
        share = DEFAULT_SHARE if self.hypernetwork_share is None else self.hypernetwork_share
        # blended copies are copies no longer
        result.put(known, result.coordinates[known] * (1 - share) + share * predicted)
