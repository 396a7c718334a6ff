"""Architectures of hypernetworks: what `predict` needs to rebuild a trained one, and nothing of training.

One file each, named after its `kind` in the settings. A rule adds the file that its job uses to the digest of the code.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def network_of(settings: Any, width: int, rank: int) -> Any:
    """An untrained network for word vectors of `width` and coordinates of width `rank`.

    Raises:
        ConfigError: the settings do not fit the width of the word vectors.
    """
    return import_module(f"{__name__}.{settings.kind}").NETWORK(width, rank, settings)
