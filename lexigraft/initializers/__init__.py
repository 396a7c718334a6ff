"""The registry of initializers: every module of this package that defines an `Initializer` is a method.

A method is added with one new file here and one line in the configuration. What methods share is in `parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexigraft.initializers.parts.base import Initializer


@cache
def registry() -> dict[str, type[Initializer]]:
    """Name of each method -> its class. The name is the default of the class's `initializer` field."""
    from lexigraft.initializers.parts.base import Initializer

    found: dict[str, type[Initializer]] = {}
    for module in sorted(info.name for info in iter_modules(__path__) if not info.ispkg):
        for value in vars(import_module(f"{__name__}.{module}")).values():
            if isinstance(value, type) and issubclass(value, Initializer) and "initializer" in value.model_fields:
                found[str(value.model_fields["initializer"].default)] = value
    return found


def read_method(values: Mapping[str, Any]) -> Initializer:
    """The method that a part of the configuration names, with its options.

    Raises:
        ConfigError: an option is wrong.
    """
    from lexigraft.settings import parse

    method: Initializer = parse(registry()[values["initializer"]], dict(values), where="methods")
    return method
