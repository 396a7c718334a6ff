"""The models of a run: names, seeds, and combinations that are refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lexigraft.config.configuration import load_config
from lexigraft.config.grid import ModelGrid, models_by_name
from lexigraft.config.placeholders import with_inputs
from lexigraft.errors import ConfigError

DEMO = yaml.safe_load((Path(__file__).parents[3] / "config" / "config.yaml").read_text())

GRID: dict[str, Any] = {"methods": ["ofa"], "sources": ["mono"], "dims": [100], "tokenizer": "t", "word_vectors": "w"}

PAIRS = {"pairs": {"adapter": "pairs", "path": "x", "languages": {"tur_Latn": "tur"}}}


def grid(**values: Any) -> ModelGrid:
    return ModelGrid(**{**GRID, **values})


def test_every_combination_gives_a_model_in_order() -> None:
    models = models_by_name([grid(methods=["random", "ofa"], sources=["mono", "multi"], dims=[100, "full"])], seed=3)
    assert list(models) == [
        *("random-mono-100", "random-mono-full", "random-multi-100", "random-multi-full"),
        *("ofa-mono-100", "ofa-mono-full", "ofa-multi-100", "ofa-multi-full"),
    ]
    assert {model.seed for model in models.values()} == {3}
    assert models["ofa-multi-full"].dim == "full"


def test_seeds_and_labels_are_suffixes_of_names() -> None:
    models = models_by_name([grid(), grid(seeds=[1, 2]), grid(label="balanced", balanced_factors=True)], seed=3)
    assert {name: model.seed for name, model in models.items()} == {
        "ofa-mono-100": 3,
        "ofa-mono-100-seed1": 1,
        "ofa-mono-100-seed2": 2,
        "ofa-mono-100-balanced": 3,
    }
    assert models["ofa-mono-100-balanced"].balanced_factors


def test_two_grids_may_repeat_a_model_but_not_its_name_for_another() -> None:
    assert list(models_by_name([grid(), grid()], seed=3)) == ["ofa-mono-100"]
    with pytest.raises(ConfigError, match=r"two different models are named 'ofa-mono-100'.*\n.*\n.*label"):
        models_by_name([grid(), grid(balanced_factors=True)], seed=3)


@pytest.mark.parametrize("dim", [0, -3, "half"])
def test_dims_must_be_positive_numbers_or_full_and_only_factors_are_balanced(dim: object) -> None:
    with pytest.raises(ValueError, match="dims"):
        grid(dims=[dim])
    with pytest.raises(ValueError, match="balanced_factors needs factors"):
        grid(dims=["full"], balanced_factors=True)


def test_inputs_are_replaced_everywhere() -> None:
    values = {"inputs": {"data": "/a/b"}, "x": {"path": "input:data/c.txt", "many": ["input:data", "plain", 3]}, "y": None}
    assert with_inputs(values) == {
        "inputs": {"data": "/a/b"},
        "x": {"path": "/a/b/c.txt", "many": ["/a/b", "plain", 3]},
        "y": None,
    }


def test_all_unknown_inputs_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        with_inputs({"inputs": {"tatoeba": "t"}, "corpora": {"a": {"path": "input:tatoebe"}, "b": ["input:zzz"]}})
    assert "corpora.a.path: no input is named 'tatoebe'; did you mean 'tatoeba'?" in str(caught.value)
    assert "corpora.b.0: no input is named 'zzz'" in str(caught.value)


@given(st.recursive(st.text().filter(lambda text: not text.startswith("input:")) | st.integers(), st.lists, max_leaves=8))
def test_values_without_inputs_are_unchanged(value: object) -> None:
    assert with_inputs({"key": value}) == {"key": value}


def demo(**sections: Any) -> dict[str, Any]:
    config = copy.deepcopy(DEMO)
    for name, values in sections.items():
        config[name] = {**config[name], **values} if isinstance(values, dict) else values
    return config


def test_methods_may_use_a_network_per_source_and_dimension() -> None:
    methods = {"hyperofa": {"initializer": "hyperofa", "hypernetwork": "{source}-{dim}"}}
    sections = {"hypernetworks": {"minilm-100": {"kind": "bilstm", "hidden": 8}}, "methods": methods}
    config = load_config(demo(**sections))
    models = config.models_by_name()
    assert config.network_of(models["hyperofa-minilm-100"]) == "minilm-100"
    assert config.network_of(models["ofa-minilm-100"]) is None
    with pytest.raises(ConfigError, match=r"of model hyperofa-minilm-64: no hypernetwork is named 'minilm-64'"):
        load_config(demo(**sections, models=[{**DEMO["models"][0], "dims": [64, 100]}]))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"pretraining": {"models": ["ofa-minilm-10"]}}, "pretraining.models: no model is named 'ofa-minilm-10'; did you mean"),
        (
            {"methods": {"h": {"initializer": "hyperofa", "hypernetwork": "{seed}"}}},
            "methods.h.hypernetwork: String should match",
        ),
        ({"corpora": PAIRS, "pretraining": {"corpus": "pairs"}}, "pretraining.corpus: all sentences of corpus 'pairs' are for"),
    ],
)
def test_unknown_models_other_placeholders_and_test_sets_as_training_text_are_refused(
    sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(demo(**sections))
    assert load_config(demo(pretraining={"models": ["ofa-minilm-100"]})).pretraining.models == ["ofa-minilm-100"]


def test_tasks_may_score_fewer_languages_after_pretraining() -> None:
    config = load_config(demo(tasks={"sr_b": {**DEMO["tasks"]["sr_b"], "pretrained_languages": ["kor_Hang"]}}))
    task = config.tasks["sr_b"]
    assert task.at(0).languages is None
    assert task.at(60).languages == ["kor_Hang"]
    assert task.at(60).pretrained_languages is None
    with pytest.raises(ConfigError, match=r"tasks.sr_b.pretrained_languages: corpus 'bible' has no language 'tur_Latn'"):
        load_config(demo(tasks={"sr_b": {**DEMO["tasks"]["sr_b"], "pretrained_languages": ["tur_Latn"]}}))
