"""The groups of a model's parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
from pretraining_cases import write_step_0

from lexigraft.modeling.families import families
from lexigraft.modeling.load import load_model
from lexigraft.pretraining.optimizer import adamw
from lexigraft.pretraining.settings import PretrainingSettings


@pytest.mark.parametrize("family", families())
def test_groups_hold_every_parameter_once(tmp_path: Path, family: str) -> None:
    write_step_0(tmp_path, family)
    model = load_model(tmp_path / "step-0")
    optimizer = adamw(model, PretrainingSettings(corpus="c", weight_decay=0.01))
    held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(held)
    names = dict(model.named_parameters())
    assert set(held) == {id(parameter) for parameter in names.values()}
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    special = {id(embedding.coordinates): "coordinates", id(embedding.primitives): "primitives", id(output.bias): "bias"}
    encoder = {id(parameter) for parameter in model.base_model.parameters()}
    for name, parameter in names.items():
        group = held[id(parameter)]
        assert group["weight_decay"] == (0.0 if "bias" in name or "norm" in name.lower() else 0.01)
        assert group["group"] == special.get(id(parameter), "encoder" if id(parameter) in encoder else "head")
