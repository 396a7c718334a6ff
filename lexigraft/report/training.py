"""What the page shows of continual pre-training and of tokenizers: training losses, held-out losses by language, fertility."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.report.charts import Spec, pretraining_curves
from lexigraft.report.inputs import Model, labels

MEAN_OF_LANGUAGES = "mean over languages"
_MOST_MEASUREMENTS = 24


def loss_figure(paths: Mapping[str, Path], models: Mapping[str, Model]) -> Spec:
    """Training losses of all models in one picture, by step or by tokens, from `pretraining_history.parquet`."""
    wanted = [pl.col("step").cast(pl.Int64), pl.col("tokens").cast(pl.Int64), pl.col("loss").cast(pl.Float64)]
    parts = [
        read_table(path, "pretraining", ["step", "tokens", "loss"]).select(pl.lit(name).alias("model"), *wanted)
        for name, path in paths.items()
    ]
    return pretraining_curves(pl.concat(parts), models, "training loss (nats per predicted token)")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Losses on held-out sequences.

    Attributes:
        models: that were pre-trained, by name.
        rows: language -> of each model its loss at the first and at the last measurement (None where it has none).
        spec: the picture, of one language at a time.
    """

    models: list[str]
    rows: list[tuple[str, list[tuple[float, float] | None]]]
    spec: Spec


def held_out(paths: Mapping[str, Path], models: Mapping[str, Model]) -> HeldOut | None:
    """Losses of every language by step, from `pretraining_held_out.parquet`; None where nothing was held out."""
    tables = {
        name: read_table(path, "pretraining", ["step", "tokens", "language", "loss"]).sort("step", maintain_order=True)
        for name, path in paths.items()
    }
    tables = {name: _thinned(table) for name, table in tables.items() if not table.is_empty()}
    if not tables:
        return None
    languages = list(dict.fromkeys(code for table in tables.values() for code in table["language"]))
    short = labels(models)
    series: list[dict[str, Any]] = []
    ends: dict[tuple[str, str], tuple[float, float]] = {}
    means = []
    for name, table in tables.items():
        steps = table.group_by("step", maintain_order=True).agg(pl.col("tokens").first(), pl.col("loss").mean())
        means.append(steps.select(pl.lit(name).alias("model"), "step", "tokens", "loss"))
        losses = {MEAN_OF_LANGUAGES: [_number(loss) for loss in steps["loss"]]}
        for (code,), part in table.group_by("language", maintain_order=True):
            at = dict(part.select("step", "loss").iter_rows())
            losses[str(code)] = [_number(at.get(step)) for step in steps["step"]]
            ends[str(code), name] = part["loss"][0], part["loss"][-1]
        at_steps = {column: steps[column].to_list() for column in ("step", "tokens")}
        series.append({"model": short[name], **at_steps, "loss": losses})
    spec = pretraining_curves(pl.concat(means), models, "held-out loss (nats per predicted token)")
    spec["usermeta"]["choice"] = {"names": [MEAN_OF_LANGUAGES, *languages], "series": series}
    rows = [(code, [ends.get((code, name)) for name in tables]) for code in languages]
    return HeldOut(list(tables), rows, spec)


def _number(loss: float | None) -> float | None:
    return round(loss, 4) if loss is not None and math.isfinite(loss) else None


def _thinned(table: pl.DataFrame) -> pl.DataFrame:
    """At most 24 measurements, the first and the last among them."""
    steps = table["step"].unique().sort()
    if len(steps) <= _MOST_MEASUREMENTS:
        return table
    kept = steps.gather([place * (len(steps) - 1) // (_MOST_MEASUREMENTS - 1) for place in range(_MOST_MEASUREMENTS)])
    return table.filter(pl.col("step").is_in(kept.implode()))


@dataclass(frozen=True, slots=True)
class FertilityTable:
    """Tokenizers compared on one corpus.

    Attributes:
        corpus: its name.
        tokenizers: of the sources and of the targets, as they are called.
        rows: language, sentences, and of each tokenizer tokens per word and characters per token (None where not known).
    """

    corpus: str
    tokenizers: list[str]
    rows: list[tuple[str, int, list[tuple[float | None, float | None]]]]


def fertility_tables(paths: Mapping[str, Path]) -> list[FertilityTable]:
    """Tables by corpus, from files named `<corpus>/source-<source>` and `<corpus>/target-<tokenizer>`."""
    corpora: dict[str, dict[str, pl.DataFrame]] = {}
    for name, path in paths.items():
        corpus, _, tokenizer = name.partition("/")
        kind, _, own = tokenizer.partition("-")
        corpora.setdefault(corpus, {})[f"{kind} {own}"] = read_table(path, "fertility")
    found = []
    for corpus, tables in corpora.items():
        values = {
            (row["language"], name): (row["tokens_per_word"], row["characters_per_token"])
            for name, table in tables.items()
            for row in table.iter_rows(named=True)
        }
        counts = {row["language"]: row["sentences"] for table in tables.values() for row in table.iter_rows(named=True)}
        rows = [(code, count, [values.get((code, name), (None, None)) for name in tables]) for code, count in counts.items()]
        found.append(FertilityTable(corpus, list(tables), rows))
    return found
