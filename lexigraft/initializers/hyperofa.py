"""HyperOFA (Özeren, Liu & Schütze 2025, arXiv 2504.21018)."""

from __future__ import annotations

from typing import Literal

from lexigraft.initializers.parts.network_rows import NetworkMethod
from lexigraft.settings import NameTemplate


class HyperOFA(NetworkMethod):
    """Copy the overlap; tokens with word vectors are predicted by a hypernetwork from the set of their words' vectors."""

    initializer: Literal["hyperofa"] = "hyperofa"
    hypernetwork: NameTemplate
