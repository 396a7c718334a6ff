"""Seeds, precision and histories of training."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from lexigraft.training.history import History
from lexigraft.training.precision import autocast, product_type
from lexigraft.training.seeds import derived_seed

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_derived_seeds_are_those_of_earlier_versions() -> None:
    assert derived_seed(0) == 15793235383387715774
    assert derived_seed(42, 1, 7) == 17492349772876235208
    assert derived_seed(42, 1, 7, bits=63) == 8746174886438117604


@pytest.mark.parametrize(("computes", "emulates"), [(True, True), (False, True), (False, False)])
def test_auto_is_bfloat16_only_on_gpus_that_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, computes: bool, emulates: bool
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return computes or (emulates and including_emulation)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert product_type("auto", GPU) == (torch.bfloat16 if computes else torch.float32)
    assert product_type("auto", CPU) == torch.float32
    for device in (CPU, GPU):
        assert product_type("bfloat16", device) == torch.bfloat16
        assert product_type("float32", device) == torch.float32


def test_matrix_products_are_of_the_precision() -> None:
    for precision, kind in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(precision, CPU):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == kind


def test_a_history_comes_back_from_tensors() -> None:
    schemas = {"steps": pl.Schema({"step": pl.Int64, "loss": pl.Float64}), "speed": pl.Schema({"seconds": pl.Float64})}
    history = History(schemas)
    for step in range(3):
        history.add("steps", step=step, loss=1 / (step + 3))
    history.add("speed", seconds=0.1)
    assert history.names == list(history.tensors()) == ["steps/step", "steps/loss", "speed/seconds"]
    restored = History(schemas)
    restored.restore({name: np.array(value) for name, value in history.tensors().items()})
    assert history.table("steps").to_dict(as_series=False) == {"step": [0, 1, 2], "loss": [1 / 3, 1 / 4, 1 / 5]}
    for table in schemas:
        assert restored.table(table).equals(history.table(table))
    restored.clear("steps")
    assert restored.table("steps").schema == schemas["steps"]
    assert len(restored.table("steps")) == 0
    assert len(restored.table("speed")) == 1
