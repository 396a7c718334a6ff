"""The registry of objectives: every module of this package that defines an `Objective` is one.

An objective is added with one new file here and `objective: NAME` in the configuration. Its fields are keys of `pretraining`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal

from pydantic import create_model

from lexigraft.settings import Settings

if TYPE_CHECKING:
    from lexigraft.pretraining.objectives.base import Objective


@cache
def registry() -> dict[str, type[Objective]]:
    """Name of each objective -> its class."""
    from lexigraft.pretraining.objectives.base import Objective

    found: dict[str, type[Objective]] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        for value in vars(import_module(f"{__name__}.{module}")).values():
            if isinstance(value, type) and issubclass(value, Objective) and "name" in vars(value):
                found[value.name] = value
    return found


def keys_of_objectives() -> type[Settings]:
    """Settings with the key `objective` and the options of all objectives."""
    # types that are known only now, which no type checker can follow
    names: Any = Literal[tuple(registry())]
    options: Any = {
        name: (field.annotation, field) for objective in registry().values() for name, field in objective.model_fields.items()
    }
    return create_model("ObjectiveKeys", __base__=Settings, objective=(names, "mlm"), **options)


def objective_of(settings: Any) -> Objective:
    """The objective that settings of pre-training name, with its options."""
    chosen = registry()[settings.objective]
    return chosen(**{name: getattr(settings, name) for name in chosen.model_fields})
