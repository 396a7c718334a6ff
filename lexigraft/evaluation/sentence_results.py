"""Results by sentence of one task: what each test sentence adds to the sums that scores are functions of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import ArtifactError
from lexigraft.evaluation.tasks import Metric, Task


@dataclass(frozen=True, slots=True)
class Unit:
    """One result file.

    Attributes:
        sentences: language -> ids, in alphabetical order.
        values: language -> (sentences, columns) float32.
    """

    sentences: Mapping[str, pl.Series]
    values: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SentenceResults:
    """All results of a task.

    Attributes:
        task: its name.
        shared: whether languages with the same id of a sentence have the same sentence.
        metrics: by name, the headline first.
        columns: of the values of all units.
        units: one or more for each model and step.
        of: (model, step) -> indices of its units; its score is the mean of theirs.
    """

    task: str
    shared: bool
    metrics: Mapping[str, Metric]
    columns: tuple[str, ...]
    units: Sequence[Unit]
    of: Mapping[tuple[str, int], tuple[int, ...]]

    @property
    def languages(self) -> list[str]:
        """All languages, in the order in which the units have them."""
        return list(dict.fromkeys(language for unit in self.units for language in unit.values))

    def places(self, metric: str) -> list[int]:
        """Indices of the columns of a metric in `columns`."""
        return [self.columns.index(name) for name in self.metrics[metric].columns]


def read_results(name: str, task: Task, rows: Sequence[Mapping[str, Any]], files: Sequence[Sequence[Path]]) -> SentenceResults:
    """Read the results of one task by sentence.

    Args:
        name: of the task.
        task: its settings.
        rows: `ROW_KEYS` of each model and step.
        files: the result files of each row.

    Raises:
        ArtifactError: a file is missing or damaged, or has other sentences in a language than those before it.
        InputError: see the `read` of the kind of task.
    """
    units, metrics, of = list[Unit](), dict[str, Metric](), dict[tuple[str, int], tuple[int, ...]]()
    columns_of, known = list[tuple[str, ...]](), dict[str, pl.Series]()
    for row, paths in zip(rows, files, strict=True):
        of[row["model"], row["step"]] = tuple(range(len(units), len(units) + len(paths)))
        for path in paths:
            table, found = task.read(path)
            metrics |= found
            columns_of.append(_columns(found))
            units.append(_unit(table, columns_of[-1]))
            for language, ids in units[-1].sentences.items():
                if not known.setdefault(language, ids).equals(ids):
                    raise ArtifactError(
                        f"other test sentences in {language} than in the results before it",
                        where=path,
                        hint="delete the file and run snakemake again",
                    )
    columns = _columns(metrics)
    units = [unit if own == columns else _with_columns(unit, own, columns) for unit, own in zip(units, columns_of, strict=True)]
    headline = task.headline_metric()
    return SentenceResults(name, task.sentences_shared, {headline: metrics[headline], **metrics}, columns, units, of)


def _columns(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for metric in metrics.values() for column in metric.columns))


def _unit(table: pl.DataFrame, columns: Sequence[str]) -> Unit:
    parts = {str(language): rows.sort("sentence") for (language,), rows in table.group_by("language", maintain_order=True)}
    return Unit(
        {language: rows["sentence"] for language, rows in parts.items()},
        {
            language: rows.select(pl.col(name).cast(pl.Float32) for name in columns).to_numpy(order="c")
            for language, rows in parts.items()
        },
    )


def _with_columns(unit: Unit, own: Sequence[str], columns: Sequence[str]) -> Unit:
    """The unit with more columns than its own, nan in those that only the results of other models have."""
    wide = {code: np.pad(of, ((0, 0), (0, 1)), constant_values=np.nan) for code, of in unit.values.items()}
    places = [own.index(name) if name in own else -1 for name in columns]
    return Unit(unit.sentences, {code: of[:, places] for code, of in wide.items()})
