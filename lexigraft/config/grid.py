"""The models of a run: every combination of methods, sources, dimensions and seeds, and their names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from lexigraft.errors import ConfigError
from lexigraft.settings import Name, Settings

Dim = PositiveInt | Literal["full"]
"""D', the width of the coordinates; `full`: the embedding matrix as it is, not factorized."""


class ModelGrid(Settings):
    """Models of a run: every combination of the listed methods, sources, dimensions and seeds."""

    methods: list[Name] = Field(min_length=1)
    sources: list[Name] = Field(min_length=1)
    dims: list[Dim] = Field(min_length=1)
    """D', the width of the coordinates; `full` keeps the embedding matrix as it is."""
    tokenizer: Name
    word_vectors: Name | None = None
    """For methods that need them."""
    seeds: list[NonNegativeInt] | None = Field(default=None, min_length=1)
    """A model for each seed, named `…-seed<n>` (by default one, with the seed of the run)."""
    label: Name | None = None
    """Ending of the names, to tell models apart that differ in nothing else that names show."""
    parity: bool = False
    """Assemble as in the published runs: no output bias is copied from the source."""
    balanced_factors: bool = False
    """F * sqrt(V) and P / sqrt(V): the same model, but one learning rate suits both; F = U has entries of about 1/sqrt(V)."""

    @model_validator(mode="after")
    def _balance_needs_factors(self) -> Self:
        if self.balanced_factors and "full" in self.dims:
            raise ValueError("balanced_factors needs factors: `full` has none; give it a grid of its own")
        return self


class Model(Settings):
    """One model of a run."""

    name: str
    method: str
    source: str
    tokenizer: str
    word_vectors: str | None
    dim: Dim
    seed: int
    parity: bool
    balanced_factors: bool


def models_by_name(grids: Iterable[ModelGrid], seed: int) -> dict[str, Model]:
    """All models of a run by their names, `<method>-<source>-<dim>[-<label>][-seed<n>]`.

    Args:
        grids: what to combine.
        seed: of models whose grid names no seeds.

    Raises:
        ConfigError: two different models get one name.
    """
    models: dict[str, Model] = {}
    for grid in grids:
        seeds: list[int | None] = [*grid.seeds] if grid.seeds else [None]
        for method, source, dim, own in product(grid.methods, grid.sources, grid.dims, seeds):
            endings = [*([grid.label] if grid.label else []), *([f"seed{own}"] if own is not None else [])]
            model = Model(
                name="-".join([method, source, str(dim), *endings]),
                method=method,
                source=source,
                tokenizer=grid.tokenizer,
                word_vectors=grid.word_vectors,
                dim=dim,
                seed=seed if own is None else own,
                parity=grid.parity,
                balanced_factors=grid.balanced_factors,
            )
            if models.setdefault(model.name, model) != model:
                raise ConfigError(
                    f"two different models are named {model.name!r}",
                    where="configuration, models",
                    hint="give one of the grids a `label`, or one of the methods another name",
                )
    return models
