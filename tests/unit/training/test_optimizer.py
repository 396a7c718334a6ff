"""Schedules against those of transformers; AdamW's groups, and its state in checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from lexigraft.training.checkpoints import model_names, restore_state, state_tensors
from lexigraft.training.optimizer import adamw, schedule, set_rates

KINDS = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}


def factors_of_transformers(kind: str, steps: int, warmup_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs, factors = KINDS[kind](optimizer, warmup_steps, steps), []
    for _ in range(steps):
        factors += theirs.get_last_lr()
        optimizer.step()
        theirs.step()
    return factors


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_a_schedule_from_zero_is_that_of_transformers(kind: str, warmup_steps: int) -> None:
    factors = [schedule(step, 20, warmup_steps, kind, from_zero=True) for step in range(1, 21)]
    assert factors == pytest.approx(factors_of_transformers(kind, 20, warmup_steps))


@pytest.mark.parametrize("kind", [*KINDS, "constant"])
def test_a_warmup_rises_from_its_first_step_and_the_schedule_spans_the_remaining_steps(kind: str) -> None:
    factors = [schedule(step, 20, 5, kind) for step in range(1, 21)]
    assert factors[:5] == pytest.approx([step / 6 for step in range(1, 6)])
    assert factors[5:] == pytest.approx(factors_of_transformers(kind, 15, 0) if kind in KINDS else [1.0] * 15)


def model_of(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.arange(8.0).reshape(2, 4)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_decay_is_applied_to_matrices_only_and_one_kernel_updates_a_group() -> None:
    model = model_of(0)
    optimizer = adamw({"all": list(model.parameters()), "none": []}, 0.1)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decays[id(p)] for name, p in model.named_parameters() if decays[id(p)]} == {"0.weight": 0.1, "2.weight": 0.1}
    set_rates(optimizer, {"all": 1e-2}, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {5e-3}
    with torch.profiler.profile() as profile:
        step(model, optimizer)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::_fused_adamw_"] == len(optimizer.param_groups) == 2


def test_a_rate_of_zero_freezes_a_group_until_it_has_another() -> None:
    model = model_of(0)
    optimizer = adamw({"first": list(model[0].parameters()), "rest": list(model[1:].parameters())}, 0.0)
    for peak in (0.0, 1e-2, 0.0):
        before = state_tensors(model, optimizer)["model/0.weight"].copy()
        set_rates(optimizer, {"first": peak, "rest": 1e-2}, 1.0)
        step(model, optimizer)
        assert all(p.requires_grad == (peak > 0) for p in model[0].parameters())
        assert ((model[0].weight.detach().numpy() != before).any()) == (peak > 0)


@pytest.mark.parametrize("fused", [True, False])
def test_a_restored_model_and_optimizer_take_the_same_steps(fused: bool) -> None:
    def optimizer_of(model: torch.nn.Module) -> Any:
        if not fused:
            return torch.optim.Adam(model.parameters(), lr=1e-2)
        made = adamw({"all": list(model.parameters())}, 0.1)
        set_rates(made, {"all": 1e-2}, 1.0)
        return made

    model = model_of(0)
    optimizer = optimizer_of(model)
    for _ in range(3):
        step(model, optimizer)
    # an array that is written has at least one dimension
    tensors = {name: np.atleast_1d(value).copy() for name, value in state_tensors(model, optimizer).items()}
    assert {name.split("/")[0] for name in tensors} == {"model", "optimizer"}
    assert set(model_names(model)) == {name for name in tensors if name.startswith("model/")}
    other = model_of(1)
    other_optimizer = optimizer_of(other)
    restore_state({**tensors, "history/loss": np.zeros(3)}, other, other_optimizer)
    for _ in range(3):
        step(model, optimizer)
        step(other, other_optimizer)
    ours, theirs = state_tensors(model, optimizer), state_tensors(other, other_optimizer)
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == value).all() and ours[name].shape == value.shape for name, value in theirs.items())
