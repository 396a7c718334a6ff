"""Baseline: shared tokens are copied, all others are drawn at random."""

from __future__ import annotations

from typing import Literal

from lexigraft.initializers.base import Initialization, Initializer, View


class Random(Initializer):
    """Copy the overlap; every other row from N(mean, std) of F's columns (OFA's baseline, METHODS 5)."""

    initializer: Literal["random"] = "random"

    def initialize(self, view: View) -> Initialization:
        from lexigraft.initializers.parts.overlap import overlap
        from lexigraft.initializers.parts.rows import start

        return start(view, overlap(view.source, view.target))
