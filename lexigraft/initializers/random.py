"""Baseline: shared tokens are copied, all others are drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from lexigraft.initializers.base import Initialization, View
from lexigraft.initializers.with_words import WordInitializer

if TYPE_CHECKING:
    from lexigraft.initializers.parts.gathered import Evidence


class Random(WordInitializer):
    """Copy the overlap; every other row from N(mean, std) of F's columns (OFA's baseline, section 3.3)."""

    computes_rows: ClassVar[bool] = False
    initializer: Literal["random"] = "random"

    def fill(self, view: View, evidence: Evidence, result: Initialization) -> None:
        """Leave the fallback where it is."""
