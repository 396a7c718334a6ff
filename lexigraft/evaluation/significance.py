"""The stage that says how sure the scores of a run are: intervals of all of them, and tests of models against each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.evaluation.comparing import COMPARISONS, Pair
from lexigraft.evaluation.evidence import Evidence, Kind, read_evidence
from lexigraft.evaluation.intervals import INTERVALS, System, task_tables
from lexigraft.evaluation.scores import headline_metric
from lexigraft.evaluation.seeds import without_seed

log = logging.getLogger(__name__)

Rows = Sequence[Mapping[str, Any]]


def write_statistics(
    scores: Path,
    results: Mapping[Kind, tuple[Rows, Sequence[Sequence[Path]]]],
    *,
    intervals_path: Path,
    comparisons_path: Path,
    seed: int,
    provenance: Provenance,
) -> None:
    """Write `INTERVALS` of every score of a run and `COMPARISONS` of its models.

    Compared are models that differ in method only, at every step, and each model after pre-training with itself before it.

    Args:
        scores: `scores.parquet`, which says the metrics of each task and which one stands for it.
        results: kind of task -> what its tables are about (`ROW_KEYS`), and the tables of each of these rows.
        intervals_path, comparisons_path: of the two tables.
        seed: of the bootstrap.
        provenance: of both.

    Raises:
        ArtifactError: a table is missing or damaged, or models were scored on different sentences.
        InputError: see `scores.read_ranks`.
    """
    table = read_table(scores, "scores")
    intervals, comparisons = [INTERVALS.to_frame()], [COMPARISONS.to_frame()]
    for (task,), scored in table.group_by("task", maintain_order=True):
        for kind, (rows, files) in results.items():
            chosen = [place for place, row in enumerate(rows) if row["task"] == task]
            if not chosen:
                continue
            metrics = scored["metric"].unique(maintain_order=True).to_list()
            first = headline_metric(metrics)
            ordered = [first, *(metric for metric in metrics if metric != first)]
            own = [rows[place] for place in chosen]
            evidence = read_evidence(kind, own, [files[place] for place in chosen], ordered)
            systems = systems_of(own, evidence)
            pairs = pairs_of(own, systems)
            found, compared = task_tables(evidence, systems, pairs, seed=seed)
            intervals.append(found)
            comparisons.append(compared)
            log.info("%s: %d intervals, %d pairs in %d languages", task, len(found), len(pairs), len(evidence.languages))
    write_table(intervals_path, pl.concat(intervals), provenance)
    write_table(comparisons_path, pl.concat(comparisons), provenance)


def systems_of(rows: Rows, evidence: Evidence) -> list[System]:
    """Every model at every step, then those that differ in their seed only as one."""
    models = [System(row["model"], row["step"], 0, evidence.of[row["model"], row["step"]]) for row in rows]
    families: dict[tuple[str, int], list[System]] = {}
    for row, model in zip(rows, models, strict=True):
        families.setdefault((_family(row), row["step"]), []).append(model)
    return models + [
        System(family, step, len(members), tuple(unit for member in members for unit in member.units))
        for (family, step), members in families.items()
        if len(members) > 1
    ]


def pairs_of(rows: Rows, systems: Sequence[System]) -> list[Pair]:
    """Pairs of systems: methods that differ in nothing else, step by step; every later step with the first one.

    Models that differ in their seed only take part together, beside an earlier step if all of them were scored there.
    """
    place = {(system.name, system.step, system.seeds > 0): at for at, system in enumerate(systems)}
    groups: dict[tuple[Any, ...], list[int]] = {}
    members: dict[str, dict[int, list[str]]] = {}
    for row in rows:
        family, step = _family(row), row["step"]
        members.setdefault(family, {}).setdefault(step, []).append(row["model"])
        at = place.get((family, step, True), place[row["model"], step, False])
        rest = family.removeprefix(f"{row['method']}-")
        group = groups.setdefault((rest, row["source"], row["target"], row["dim"], step), [])
        if at not in group:
            group.append(at)
    pairs = [Pair("methods", *pair) for group in groups.values() for pair in combinations(group, 2)]
    for family, models in members.items():
        before, *later = sorted(models)
        for after in later:
            if len(models[after]) > 1 and models[after] == models[before]:
                pairs.append(Pair("steps", place[family, after, True], place[family, before, True]))
                continue
            common = [name for name in models[after] if name in models[before]]
            pairs += [Pair("steps", place[name, after, False], place[name, before, False]) for name in common]
    return pairs


def _family(row: Mapping[str, Any]) -> str:
    return without_seed(row["model"], row["seed"])
