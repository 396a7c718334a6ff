"""What a run requires of a source model, checked against a local model's `config.json` before any job starts.

This module is imported when the workflow is parsed, and transformers would make that slow. So it reads width and positions from
the file; a test compares them with `modeling.configs.embedding_width` and `modeling.encoder.usable_positions`. For a model on a
hub, the stages that read it make the same checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lexigraft.config.configuration import Config
from lexigraft.errors import ConfigError
from lexigraft.evaluation.settings import RetrievalTask


def check_fit(config: Config, source: str, folder: Path) -> None:
    """Check D', layers and sequence lengths of a run against the limits in `config.json`, as far as it states them.

    Args:
        config: a checked configuration.
        source: name of the source model.
        folder: the folder of its checkpoint.

    Raises:
        ConfigError: at least one limit is exceeded; the message lists all of them.
    """
    try:
        has = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the stage that reads the model reports what is wrong
    if isinstance(has, dict) and (problems := list(_problems(config, source, has))):
        raise ConfigError("; ".join(problems), where=folder / "config.json", hint="lower these values, or use a larger model")


def _problems(config: Config, source: str, has: dict[str, Any]) -> Iterator[str]:
    models = [model for model in config.models_by_name().values() if model.source == source]
    width = has.get("embedding_size") if has.get("model_type") == "deberta-v2" else None
    width = has.get("hidden_size") if width is None else width
    for dim in sorted({model.dim for model in models if isinstance(model.dim, int)}):
        if isinstance(width, int) and dim > width:
            yield f"D' = {dim} is larger than the model's width {width}"
    layers = has.get("num_hidden_layers")
    for name, task in config.tasks.items() if models else ():
        if isinstance(task, RetrievalTask) and isinstance(layers, int):
            asked = [layer for layer in (task.layer, *task.layers) if isinstance(layer, int)]
            if wrong := sorted({layer for layer in asked if layer > layers}):
                yield f"tasks.{name}: layer {wrong[0]} is requested, but the model has {layers} layers"
    training, positions = config.pretraining, _positions(has)
    if training is None or positions is None or training.length <= positions:
        return
    if any(model.name in (training.models or [model.name]) for model in models):
        yield f"pretraining.length {training.length} is larger than the model's {positions} positions"


def _positions(has: dict[str, Any]) -> int | None:
    """Maximum sequence length; RoBERTa's positions start after the padding id."""
    positions = has.get("max_position_embeddings")
    padding = has.get("pad_token_id", 1) if has.get("model_type") in ("roberta", "xlm-roberta") else -1
    return positions - padding - 1 if isinstance(positions, int) and isinstance(padding, int) else None
