"""Schedules against those of transformers, and the groups of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pretraining_cases import (
    write_step_0,
)
from transformers import (
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from lexigraft.modeling.families import FAMILIES
from lexigraft.modeling.load import load_model
from lexigraft.pretraining.optimizer import GROUPS, adamw, parameter_groups
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.training.optimizer import schedule, set_rates


class TestOptimizer:
    def test_without_warmup_the_schedule_is_transformers_linear_one(self) -> None:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = get_linear_schedule_with_warmup(optimizer, 0, 20)
        for step in range(1, 21):
            assert schedule(step, 20, 0) == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_without_warmup_the_cosine_is_transformers_one(self) -> None:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = get_cosine_schedule_with_warmup(optimizer, 0, 20)
        for step in range(1, 21):
            assert schedule(step, 20, 0, "cosine") == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_warmup_rises_to_1_and_falls_to_the_end(self) -> None:
        factors = [schedule(step, 10, 3) for step in range(1, 11)]
        assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
        assert factors[3:] == pytest.approx([1 - i / 7 for i in range(7)])
        assert [schedule(step, 10, 3, "constant") for step in range(1, 11)] == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])

    @pytest.mark.parametrize(
        ("kind", "made"), [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)]
    )
    def test_after_the_warmup_a_schedule_is_transformers_one_over_the_remaining_steps(self, kind: str, made: Any) -> None:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = made(optimizer, 0, 15)
        assert [schedule(step, 20, 5, kind) for step in range(1, 6)] == pytest.approx([step / 6 for step in range(1, 6)])
        for step in range(6, 21):
            assert schedule(step, 20, 5, kind) == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_one_kernel_updates_all(self, pretraining_inputs: Path) -> None:
        optimizer = adamw(load_model(pretraining_inputs / "step-0"), PretrainingSettings(corpus="c"))
        set_rates(optimizer, dict.fromkeys(GROUPS, 1e-3), 1.0)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        with torch.profiler.profile() as profile:
            optimizer.step()
        counts = {event.key: event.count for event in profile.key_averages()}
        assert counts["aten::_fused_adamw_"] == len(optimizer.param_groups)

    @pytest.mark.parametrize("family", sorted(FAMILIES))
    def test_groups_hold_every_parameter_once(self, tmp_path: Path, family: str) -> None:
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

    def test_the_names_of_groups_are_those_of_the_settings(self) -> None:
        assert set(GROUPS) == set(PretrainingSettings(corpus="c").learning_rates.by_group())

    def test_frozen_groups_can_be_trained_again(self, pretraining_inputs: Path) -> None:
        model = load_model(pretraining_inputs / "step-0")
        optimizer = adamw(model, PretrainingSettings(corpus="c"))
        for encoder in (0.0, 1e-3, 0.0):
            set_rates(optimizer, dict.fromkeys(GROUPS, 1e-3) | {"encoder": encoder}, 0.5)
            for group, members in parameter_groups(model).items():
                assert all(parameter.requires_grad == (group != "encoder" or encoder > 0) for parameter in members)
        assert {group["lr"] for group in optimizer.param_groups} == {0.0, 5e-4}
