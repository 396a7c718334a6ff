"""Baseline: shared tokens are copied, all others are drawn at random."""

from __future__ import annotations

from typing import ClassVar, Literal

from lexigraft.initializers.parts.word_method import WordMethod


class Random(WordMethod):
    """Copy the overlap; every other row from N(mean, std) of the table's columns (OFA's baseline, section 3.3)."""

    computes_rows: ClassVar[bool] = False
    initializer: Literal["random"] = "random"
