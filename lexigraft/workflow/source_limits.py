"""What a run asks of a source model, held against a local model's `config.json` before anything runs.

Imported when the workflow is parsed, which transformers would slow down: so width and positions are read from the file as
`modeling.configs.embedding_width` and `modeling.encoder.usable_positions` read them from a configuration; a test compares them.
Of a model on a hub the stages that read it find the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lexigraft.config.configuration import Config
from lexigraft.errors import ConfigError


def check_fit(config: Config, source: str, folder: Path) -> None:
    """Check D', layers and lengths that a run asks for, wherever `config.json` says how much the model has.

    Args:
        config: a checked configuration.
        source: name of the source model.
        folder: of its checkpoint.

    Raises:
        ConfigError: of all that does not fit.
    """
    try:
        has = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the stage that reads the model says what is wrong with it
    if isinstance(has, dict) and (problems := list(_problems(config, source, has))):
        raise ConfigError("; ".join(problems), where=folder / "config.json", hint="ask for less, or take a larger model")


def _problems(config: Config, source: str, has: dict[str, Any]) -> Iterator[str]:
    models = [model for model in config.models_by_name().values() if model.source == source]
    width = has.get("embedding_size") if has.get("model_type") == "deberta-v2" else None
    width = has.get("hidden_size") if width is None else width
    for dim in sorted({model.dim for model in models if isinstance(model.dim, int)}):
        if isinstance(width, int) and dim > width:
            yield f"D' = {dim} is larger than the model's width {width}"
    layers = has.get("num_hidden_layers")
    for name, task in config.tasks.items() if models else ():
        if isinstance(layers, int) and (wrong := [layer for layer in task.layers_read() if layer > layers]):
            yield f"tasks.{name}: layer {min(wrong)} asked for, but the model has {layers} layers"
    training, positions = config.pretraining, _positions(has)
    if training is None or positions is None or training.length <= positions:
        return
    if any(model.name in (training.models or [model.name]) for model in models):
        yield f"pretraining.length {training.length} is larger than the model's {positions} positions"


def _positions(has: dict[str, Any]) -> int | None:
    """Longest sequence; RoBERTa's positions start behind the padding id."""
    positions = has.get("max_position_embeddings")
    padding = has.get("pad_token_id", 1) if has.get("model_type") in ("roberta", "xlm-roberta") else -1
    return positions - padding - 1 if isinstance(positions, int) and isinstance(padding, int) else None
