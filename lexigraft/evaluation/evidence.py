"""What every score is made of: for each test sentence the counts that are summed, whatever the kind of task.

A score is a function of sums over sentences (`Statistic`), so one bootstrap and one test serve retrieval, tagging and language
modeling alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import read_table
from lexigraft.errors import ArtifactError
from lexigraft.evaluation.language_modeling import PERPLEXITIES
from lexigraft.evaluation.language_modeling import STAGE as LANGUAGE_MODELLING
from lexigraft.evaluation.scores import read_ranks
from lexigraft.evaluation.statistics import Statistic
from lexigraft.evaluation.tagging.scoring import STAGE as TAG_SCORES

Kind = Literal["retrieval", "tagging", "language_modeling"]
_RANKED = re.compile(r"(?:top_(\d+)|mrr)(?:_(.+))?")
_TAGGING = {
    "f1": Statistic({"right_entities": 1, "all_entities": -1}, 200.0),
    "token_f1": Statistic({"right_marked": 1, "all_marked": -1}, 200.0),
    "accuracy": Statistic({"right_words": 1, "words": -1}, 100.0),
}
_LOSS = {"surprise": 1, "scored": -1}
_MODELLING = {
    "bits_per_byte": Statistic({**_LOSS, "tokens": 1, "bytes": -1}, 1 / math.log(2)),
    "loss": Statistic(_LOSS),
    **{name: Statistic(_LOSS, exponential=True) for name in PERPLEXITIES.values()},
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One table of results by sentence: a ranks file, or the scores of one tagger or one model.

    Attributes:
        sentences: language -> ids, in alphabetical order.
        values: language -> (sentences, columns) float32.
    """

    sentences: Mapping[str, pl.Series]
    values: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a task.

    Attributes:
        task: its name.
        shared: whether languages with the same id of a sentence have the same sentence.
        statistics: metric -> how it follows from sums of `columns`; the headline metric first.
        columns: of the values of all units.
        units: one or more for each model and step.
        of: (model, step) -> places of its units; its score is the mean of theirs.
    """

    task: str
    shared: bool
    statistics: Mapping[str, Statistic]
    columns: tuple[str, ...]
    units: Sequence[Unit]
    of: Mapping[tuple[str, int], tuple[int, ...]]

    @property
    def languages(self) -> list[str]:
        """All languages, in the order in which the units have them."""
        return list(dict.fromkeys(language for unit in self.units for language in unit.values))

    def places(self, metric: str) -> list[int]:
        """Where the columns of a metric are among `columns`."""
        return [self.columns.index(name) for name in self.statistics[metric].columns]


def read_evidence(
    kind: Kind, rows: Sequence[Mapping[str, Any]], files: Sequence[Sequence[Path]], metrics: Iterable[str]
) -> Evidence:
    """Read the results of one task by sentence.

    Args:
        kind: of the task.
        rows: `ROW_KEYS` of each model and step.
        files: the tables of each row; more than one of a tagger that was fine-tuned with several seeds.
        metrics: of the task in the score table, the headline metric first; those that are no scores are left out.

    Raises:
        ArtifactError: a table is missing or damaged, or has other sentences in a language than those before it.
        InputError: see `scores.read_ranks`.
    """
    statistics = {metric: found for metric in metrics if (found := _statistic(kind, metric)) is not None}
    columns = tuple(dict.fromkeys(name for statistic in statistics.values() for name in statistic.columns))
    units: list[Unit] = []
    of: dict[tuple[str, int], tuple[int, ...]] = {}
    known: dict[str, pl.Series] = {}
    for row, paths in zip(rows, files, strict=True):
        of[row["model"], row["step"]] = tuple(range(len(units), len(units) + len(paths)))
        for path in paths:
            units.append(_unit(_READERS[kind](path, list(statistics)), columns))
            for language, ids in units[-1].sentences.items():
                if not known.setdefault(language, ids).equals(ids):
                    raise ArtifactError(
                        f"other test sentences in {language} than in the results before it",
                        where=path,
                        hint="delete the file and run snakemake again",
                    )
    return Evidence(str(rows[0]["task"]), kind != "tagging", statistics, columns, units, of)


def _statistic(kind: Kind, metric: str) -> Statistic | None:
    if kind == "retrieval":
        return Statistic({metric: 1, "queries": -1}, 100.0) if _RANKED.fullmatch(metric) else None
    return (_TAGGING if kind == "tagging" else _MODELLING).get(metric)


def _unit(table: pl.DataFrame, columns: Sequence[str]) -> Unit:
    parts = {str(language): rows.sort("sentence") for (language,), rows in table.group_by("language", maintain_order=True)}
    return Unit(
        {language: rows["sentence"] for language, rows in parts.items()},
        {
            language: rows.select(pl.col(name).cast(pl.Float32) for name in columns).to_numpy(order="c")
            for language, rows in parts.items()
        },
    )


def _ranked(path: Path, metrics: Sequence[str]) -> pl.DataFrame:
    table = read_ranks(path).rename({"query_id": "sentence"})
    variants = {str(variant): rows for (variant,), rows in table.group_by("variant", maintain_order=True)}
    found = variants[""].select("language", "sentence", pl.lit(1.0).alias("queries"))
    for variant, rows in variants.items():
        named = [
            (metric, matched[1])
            for metric in metrics
            if (matched := _RANKED.fullmatch(metric)) is not None and (matched[2] or "") == variant
        ]
        values = [
            ((pl.col("rank") <= int(k)) if k else 1.0 / pl.col("rank")).fill_null(0).cast(pl.Float32).alias(metric)
            for metric, k in named
        ]
        found = found.join(rows.select("language", "sentence", *values), on=["language", "sentence"], maintain_order="left")
    return found


def _tagged(path: Path, metrics: Sequence[str]) -> pl.DataFrame:  # noqa: ARG001
    return read_table(path, TAG_SCORES).with_columns(
        (pl.col("entities") + pl.col("predicted_entities")).alias("all_entities"),
        (pl.col("marked") + pl.col("predicted_marked")).alias("all_marked"),
    )


def _modeled(path: Path, metrics: Sequence[str]) -> pl.DataFrame:  # noqa: ARG001
    table = read_table(path, LANGUAGE_MODELLING).rename({"sentence_id": "sentence"})
    return table.with_columns((-pl.col("log_likelihood")).alias("surprise"))


_READERS = {"retrieval": _ranked, "tagging": _tagged, "language_modeling": _modeled}
