"""HyperOFA (Özeren, Liu & Schütze 2025, arXiv 2504.21018)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from lexigraft.initializers.base import WISE, Initialization, Initializer, View
from lexigraft.settings import Name


class HyperOFA(Initializer):
    """Copy the overlap; tokens with word vectors are predicted by a hypernetwork from the set of their words' vectors."""

    needs_hypernetwork: ClassVar[bool] = True
    initializer: Literal["hyperofa"] = "hyperofa"
    hypernetwork: Name

    def initialize(self, view: View) -> Initialization:
        from lexigraft.initializers.parts.overlap import overlap
        from lexigraft.initializers.parts.rows import start

        assert view.hypernetwork is not None
        result = start(view, overlap(view.source, view.target))
        known = np.diff(view.target_matches.indptr) > 0
        wise = np.flatnonzero(known & (result.source_ids < 0))
        result.coordinates[wise] = view.hypernetwork(view.target_matches, wise)
        result.origin[wise] = WISE
        return result
