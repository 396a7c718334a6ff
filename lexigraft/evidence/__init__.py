"""The registry of evidence kinds: every module of this package that defines an `Evidence` is one, named after the module."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexigraft.evidence.base import Evidence


@cache
def kinds() -> dict[str, type[Evidence]]:
    """Name of each evidence kind -> its class."""
    from lexigraft.evidence.base import Evidence

    return {
        info.name: value
        for info in iter_modules(__path__)
        if not info.ispkg
        for value in vars(import_module(f"{__name__}.{info.name}")).values()
        if isinstance(value, type) and issubclass(value, Evidence) and value.__module__ == f"{__name__}.{info.name}"
        if value is not Evidence
    }
