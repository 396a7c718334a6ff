"""Requirements on a source model are checked against its configuration before any job starts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers.models.deberta_v2.configuration_deberta_v2 import DebertaV2Config
from transformers.models.modernbert.configuration_modernbert import ModernBertConfig
from transformers.models.roberta.configuration_roberta import RobertaConfig

from lexigraft.config.configuration import Config, load_config
from lexigraft.errors import ConfigError, InputError
from lexigraft.modeling.classes import embedding_width
from lexigraft.modeling.encoder import usable_positions
from lexigraft.workflow.external_inputs import outside_files
from lexigraft.workflow.source_limits import check_fit

ROOT = Path(__file__).parents[3]
NO_PADDING = json.dumps({"model_type": "roberta", "hidden_size": None, "max_position_embeddings": 9, "pad_token_id": None})


def asking(dim: int = 16, layer: int = 2, layers: Any = (), length: int = 64, trained: list[str] | None = None) -> Config:
    """The demo's configuration with other requirements on its source model."""
    values = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    values["models"] = [values["models"][0] | {"dims": [dim, "full"]}]
    values["tasks"] = {"sr_b": {**values["tasks"]["sr_b"], "layer": layer, "layers": layers}}
    values["pretraining"] |= {"length": length, "models": trained}
    return load_config(values)


@pytest.mark.parametrize(
    ("model", "width", "positions"),
    [
        (RobertaConfig(hidden_size=32, num_hidden_layers=3, max_position_embeddings=70, pad_token_id=1), 32, 68),
        (RobertaConfig(hidden_size=32, num_hidden_layers=3, max_position_embeddings=70, pad_token_id=3), 32, 66),
        (DebertaV2Config(hidden_size=32, embedding_size=24, num_hidden_layers=3, max_position_embeddings=70), 24, 70),
        (DebertaV2Config(hidden_size=32, num_hidden_layers=3, max_position_embeddings=70), 32, 70),
        (ModernBertConfig(hidden_size=32, num_hidden_layers=3, max_position_embeddings=70), 32, 70),
    ],
)
def test_limits_match_those_of_the_loaded_model(tmp_path: Path, model: Any, width: int, positions: int) -> None:
    assert (embedding_width(model), usable_positions(model)) == (width, positions)
    model.save_pretrained(tmp_path)
    check_fit(asking(width, 3, [1, 3], positions), "minilm", tmp_path)
    check_fit(asking(width, 3, "all", positions), "minilm", tmp_path)
    with pytest.raises(ConfigError) as caught:
        check_fit(asking(width + 1, 4, [5], positions + 1), "minilm", tmp_path)
    assert f"D' = {width + 1} is larger than the model's width {width}; " in str(caught.value)
    assert "tasks.sr_b: layer 4 is requested, but the model has 3 layers; " in str(caught.value)
    assert f"pretraining.length {positions + 1} is larger than the model's {positions} positions" in str(caught.value)
    with pytest.raises(ConfigError, match="layer 5 is requested"):
        check_fit(asking(layers=[5]), "minilm", tmp_path)


def test_requirements_on_other_models_are_ignored(tmp_path: Path) -> None:
    RobertaConfig(hidden_size=8, num_hidden_layers=1, max_position_embeddings=10).save_pretrained(tmp_path)
    config = asking()
    check_fit(config, "another", tmp_path)
    untrained = asking(8, 1, (), 64, trained=["ofa-minilm-full"])
    del untrained.models[0].methods[1]  # ofa: the trained model does not use this source
    check_fit(untrained, "minilm", tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "bert", "hidden_size": "wide"}', NO_PADDING])
def test_an_unusable_model_configuration_is_left_to_the_stage(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    check_fit(asking(500, 9, (), 9000), "minilm", tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model_type": "t5"},
            r"'t5' cannot be grafted\n.*config\.json\n.*types: bert, deberta-v2, modernbert, roberta",
        ),
        ({}, "'None' cannot be grafted"),
        ({"model_type": "bert", "tie_word_embeddings": False}, "output layer is not tied"),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, "position embeddings are 'relative_key'"),
    ],
)
def test_models_that_cannot_be_grafted_stop_a_run_and_are_reported_with_a_plan(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    for file, text in (("config.json", json.dumps(values)), ("model.safetensors", ""), ("tokenizer.json", "{}")):
        (tmp_path / file).write_text(text)
    config = asking()
    config.sources["minilm"] = config.sources["minilm"].model_copy(update={"model": str(tmp_path)})
    with pytest.raises(InputError, match=rf"sources\.minilm: .*{message}"):
        outside_files(config)
    _, problems = outside_files(config, only_plan=True)
    assert re.search(message, problems)


def test_exceeded_limits_stop_a_run_and_are_reported_by_a_plan() -> None:
    config = asking(dim=500)
    with pytest.raises(InputError, match=r"sources\.minilm: .*D' = 500 is larger than the model's width 384"):
        outside_files(config)
    _, problems = outside_files(config, only_plan=True)
    assert "D' = 500" in problems
