"""`graft`: OFA with cleaner evidence, and optionally a hypernetwork's share (docs/methods.md, section 12)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from lexigraft.evidence.base import EvidenceSet, TokenPair
from lexigraft.initializers.ofa import SimilarTokens
from lexigraft.initializers.parts.network_rows import NetworkMethod

if TYPE_CHECKING:
    from lexigraft.initializers.parts.token_vectors import TokenVectors
    from lexigraft.token_maps.token_map import Integers, TokenMap

DEFAULT_SHARE = 0.25
"""Best of what was tried on the development languages; docs/methods.md, section 12, has the comparison."""


class Graft(SimilarTokens, NetworkMethod):
    """OFA with seven options switched on, and a share of a hypernetwork's prediction."""

    initializer: Literal["graft"] = "graft"
    source_word_languages: bool = True
    word_weights: bool = True
    unit_words: bool = True
    verify_copies: float | None = Field(default=0.3, ge=-1, le=1)
    copies_need_words: bool = True
    contained_words: bool = True
    fallback: Literal["random", "mean"] = "mean"
    hypernetwork_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Weight of the hypernetwork's prediction in the row of every token with word vectors, copies included: 0.25 by default."""

    @model_validator(mode="after")
    def _share_needs_network(self) -> Self:
        if self.hypernetwork_share is not None and self.hypernetwork is None:
            raise ValueError("`hypernetwork_share` needs a `hypernetwork`")
        return self

    @property
    def share(self) -> float:
        """Weight of the prediction in a row, 0 without a network."""
        if self.hypernetwork is None:
            return 0.0
        return DEFAULT_SHARE if self.hypernetwork_share is None else self.hypernetwork_share

    def predicted(self, vectors: TokenVectors) -> Integers:
        """Every token with a word: blended copies are copies no longer."""
        import numpy as np

        return np.flatnonzero(vectors.target_matched)

    def token_map(self, tokens: TokenPair, evidence: EvidenceSet, seed: int) -> TokenMap:
        """The map of similar tokens; with a network, the rows that it has a share in weigh what remains."""
        import numpy as np

        from lexigraft.token_maps.token_map import COMPUTED

        found = super().token_map(tokens, evidence, seed)
        if self.hypernetwork is None:
            return found
        chosen = self.predicted(self.vectors(tokens, evidence))
        rest, origin = np.ones(len(found), dtype=np.float32), found.origin.copy()
        rest[chosen], origin[chosen] = 1 - self.share, COMPUTED
        found.weights.data *= np.repeat(rest, np.diff(found.weights.indptr))
        return replace(found, origin=origin)
