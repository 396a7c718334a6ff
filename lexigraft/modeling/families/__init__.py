"""The registry of model families: every module of this package that defines `FAMILY` is one. A family is one file of data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from lexigraft.errors import InputError

if TYPE_CHECKING:
    from lexigraft.modeling.families.family import Family

PREFIX = "lexigraft-"
"""The `model_type` of a factorized model is this and that of the plain one."""


@cache
def families() -> dict[str, Family]:
    """`model_type` of the plain models -> family, sorted."""
    modules = [import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__)]
    found = {module.FAMILY.model_type: module.FAMILY for module in modules if hasattr(module, "FAMILY")}
    return dict(sorted(found.items()))


def family_of(model_type: str, where: object = None) -> Family:
    """Return the family of a plain or factorized `model_type`.

    Raises:
        InputError: models of this type cannot be grafted.
    """
    name = model_type.removeprefix(PREFIX)
    if name not in families():
        hint = f"name a source model of one of these types: {', '.join(families())}"
        raise InputError(f"models of type {model_type!r} cannot be grafted", where=where, hint=hint)
    return families()[name]


def source_family(config: Mapping[str, Any], where: object) -> Family:
    """Return the family of a source model by the content of its `config.json`.

    Raises:
        InputError: models of this type cannot be grafted, or not with these options.
    """
    family = family_of(str(config.get("model_type")), where)
    tied = family.table("output").tied_to is not None
    if config.get("tie_word_embeddings", True) != tied:
        problem = f"output layer is {'not ' if tied else ''}tied to its word embeddings"
        hint = f"tie_word_embeddings: {str(tied).lower()}"
    elif config.get("position_embedding_type", "absolute") != "absolute":
        problem, hint = f"position embeddings are {config['position_embedding_type']!r}", "absolute position embeddings"
    else:
        return family
    raise InputError(f"the source model's {problem}", where=where, hint=f"use a model with {hint}")
