"""What a run requires of a source model, checked against a local model's `config.json` before any job starts.

This module is imported when the workflow is parsed, and transformers would make that slow. So it reads the file by the keys of
the model's family. For a model on a hub, the stages that read it make the same checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lexigraft.config.configuration import Config
from lexigraft.errors import ConfigError
from lexigraft.modeling.families import source_family
from lexigraft.modeling.families.family import Family


def check_fit(config: Config, source: str, folder: Path) -> None:
    """Check that the model can be grafted, and D', layers and sequence lengths of a run, as far as `config.json` states them.

    Args:
        config: a checked configuration.
        source: name of the source model.
        folder: the folder of its checkpoint.

    Raises:
        InputError: models of this type or kind cannot be grafted.
        ConfigError: at least one limit is exceeded; the message lists all of them.
    """
    path = folder / "config.json"
    try:
        has = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the stage that reads the model reports what is wrong
    if isinstance(has, dict) and (problems := list(_problems(config, source, has, source_family(has, path)))):
        raise ConfigError("; ".join(problems), where=path, hint="lower these values, or use a larger model")


def _problems(config: Config, source: str, has: dict[str, Any], family: Family) -> Iterator[str]:
    models = [model for model in config.models_by_name().values() if model.source == source]
    width, layers, positions = family.limits(has)
    for dim in sorted({model.dim for model in models if isinstance(model.dim, int)}):
        if width is not None and dim > width:
            yield f"D' = {dim} is larger than the model's width {width}"
        if family.table("output").tied_to is None:
            yield f"D' = {dim}: a model with an output table of its own needs D' = full"
    for name, task in config.tasks.items() if models else ():
        if layers is not None and (wrong := [layer for layer in task.layers_read() if layer > layers]):
            yield f"tasks.{name}: layer {min(wrong)} is requested, but the model has {layers} layers"
    training = config.pretraining
    if training is None or positions is None or training.length <= positions:
        return
    if any(model.name in (training.models or [model.name]) for model in models):
        yield f"pretraining.length {training.length} is larger than the model's {positions} positions"
