"""What a run asks of a source model, compared with a local model's `config.json` before anything runs.

Imported when the workflow is parsed, which transformers would slow down: what a model has is read from the file by the keys of
its family. For a model on a hub the stages that read it check the same.
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
    """Check that the model can be grafted, and that it has the D', layers and lengths that a run asks for.

    A `config.json` that cannot be read, or lacks a number, is left to the stage that reads the model.

    Args:
        config: a checked configuration.
        source: name of the source model.
        folder: of its checkpoint.

    Raises:
        InputError: models of this type or kind cannot be grafted.
        ConfigError: lists all that does not fit.
    """
    path = folder / "config.json"
    try:
        has = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(has, dict) and (problems := list(_problems(config, source, has, source_family(has, path)))):
        raise ConfigError("; ".join(problems), where=path, hint="ask for less, or take a larger model")


def _problems(config: Config, source: str, has: dict[str, Any], family: Family) -> Iterator[str]:
    models = [model for model in config.models_by_name().values() if model.source == source]
    width, layers, positions = family.limits(has)
    for dim in sorted({model.dim for model in models if isinstance(model.dim, int)}):
        if width is not None and dim > width:
            yield f"D' = {dim} is larger than the model's width {width}"
    for name, task in config.tasks.items() if models else ():
        if layers is not None and (wrong := [layer for layer in task.layers_read() if layer > layers]):
            yield f"tasks.{name}: layer {min(wrong)} asked for, but the model has {layers} layers"
    training = config.pretraining
    if training is None or positions is None or training.length <= positions:
        return
    if any(model.name in (training.models or [model.name]) for model in models):
        yield f"pretraining.length {training.length} is larger than the model's {positions} positions"
