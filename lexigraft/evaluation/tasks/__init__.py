"""Kinds of evaluation tasks, behind one protocol: every module of this package defines one, in one class.

A kind is added with one file here, named like the kind, and one in `rules/tasks`. The file is light: settings, and how results
are read. What encodes text or scores a model is in modules of its own, which only the kind's workflow script imports.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lexigraft.languages import LanguageCode
from lexigraft.settings import Settings, parse

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """A score as a function of sums over sentences: Π sum ** exponent · `scale`, or exp of that.

    Attributes:
        exponents: column of the sentences -> its exponent, 1 or -1.
        size: the column whose sum is the sample size that the score table shows.
        unit: what the sample size counts, such as `queries`.
        scale: 100 for percentages.
        exponential: whether the score is exp of the product.
        lower_is_better: whether the lowest score is the best one; such scores are no percentages.
        undefined: the value in the score table where a sum to divide by is 0.
    """

    exponents: Mapping[str, int]
    size: str
    unit: str
    scale: float = 1.0
    exponential: bool = False
    lower_is_better: bool = False
    undefined: float = math.nan

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are summed, in the order in which `of` takes their sums."""
        return tuple(self.exponents)

    def of(self, sums: Floats) -> Doubles:
        """Scores of sums (..., columns); nan where a sum to divide by is 0."""
        product = np.ones(sums.shape[:-1])
        with np.errstate(divide="ignore", invalid="ignore"):
            for place, exponent in enumerate(self.exponents.values()):
                product = product * sums[..., place] if exponent > 0 else product / sums[..., place]
        product = np.where(np.isfinite(product), product * self.scale, np.nan)
        return np.exp(np.minimum(product, 700.0)) if self.exponential else product

    def of_rows(self, sentences: pl.DataFrame) -> float:
        """Score of the sentences that are the rows of a table."""
        sums = sentences.select(self.columns).sum().to_numpy()
        return float(np.nan_to_num(self.of(sums)[0], nan=self.undefined))

    def gradient(self, sums: Doubles) -> Doubles:
        """Derivatives of the score with respect to each sum, (..., columns); 0 where a sum to divide by is 0."""
        found = np.empty(sums.shape)
        exponents = np.array(list(self.exponents.values()))
        for place, exponent in enumerate(exponents):
            with np.errstate(divide="ignore", invalid="ignore"):
                rest = np.prod(np.delete(sums, place, axis=-1) ** np.delete(exponents, place), axis=-1) * self.scale
                found[..., place] = rest if exponent > 0 else -rest / sums[..., place] ** 2
        if self.exponential:
            found *= self.of(sums)[..., None]
        return np.where(np.isfinite(found), found, 0.0)


class Task(Settings):
    """One task of a run. A kind defines `kind` with its own name, further settings, and what is abstract here.

    A kind with the field `corpus` reads the held-out sentences of this corpus.
    """

    note: ClassVar[str]
    """What the headline measures, for the report."""
    sentences_shared: ClassVar[bool] = True
    """Whether languages with the same id of a sentence have the same sentence, so that they are resampled together."""
    shows_repeats: ClassVar[bool] = False
    """Whether the report counts held-out sentences that repeat another."""
    shows_fertility: ClassVar[bool] = False
    """Whether the report compares the tokenizers on the held-out sentences."""

    kind: str
    languages: list[LanguageCode] | None = None
    """Languages to score (all by default)."""
    pretrained_languages: list[LanguageCode] | None = None
    """Languages to score after continual pre-training, where they are others than before it."""

    @abstractmethod
    def headline_metric(self) -> str:
        """The metric that stands for the task."""

    @abstractmethod
    def read(self, path: Path) -> tuple[pl.DataFrame, dict[str, Metric]]:
        """Read one result file: what each sentence adds to the scores.

        Returns:
            language, sentence (its id), and the numeric columns of all metrics; the metrics, in the order of the score table.

        Raises:
            ArtifactError: the file is missing or damaged.
        """

    def at(self, step: int) -> Self:
        """The task at a step of pre-training: `languages` are those to score there."""
        languages = self.pretrained_languages if step and self.pretrained_languages else self.languages
        return self.model_copy(update={"languages": languages, "pretrained_languages": None})

    def repetitions(self) -> list[dict[str, int]]:
        """Further wildcards of the result files of a model at a step, one for each file; scores are means over the files."""
        return [{}]

    def needed_languages(self) -> list[str]:
        """Languages that the corpus must have besides those that are scored."""
        return []

    def outside_files(self) -> dict[str, list[str]]:
        """Files from outside that it reads, by what they are for."""
        return {}

    def layers_read(self) -> list[int]:
        """Numbers of the layers that a model must have."""
        return []


@cache
def kind_class(kind: str) -> type[Task]:
    """The class of a kind of task; imports the module of this kind alone."""
    module = import_module(f"{__name__}.{kind}")
    classes = (value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__)
    (found,) = (value for value in classes if issubclass(value, Task))
    return found


@cache
def registry() -> dict[str, type[Task]]:
    """Name of each kind -> its class."""
    return {name: kind_class(name) for name in sorted(info.name for info in iter_modules(__path__))}


def tasks_of(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Task]:
    """Name -> task, from names and plain settings."""
    return {name: parse(kind_class(str(values["kind"])), values, where=f"tasks.{name}") for name, values in settings.items()}
