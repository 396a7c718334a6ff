"""The stage that says how sure the scores of a run are: intervals of all of them, and tests of models against each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.evaluation.comparing import COMPARISONS, Pair, System
from lexigraft.evaluation.intervals import INTERVALS, task_tables
from lexigraft.evaluation.scores import Rows, without_seed
from lexigraft.evaluation.sentence_results import SentenceResults, read_results
from lexigraft.evaluation.tasks import Task

log = logging.getLogger(__name__)


def write_statistics(
    tasks: Mapping[str, Task],
    rows: Rows,
    files: Sequence[Sequence[Path]],
    *,
    intervals_path: Path,
    comparisons_path: Path,
    seed: int,
    provenance: Provenance,
) -> None:
    """Write `INTERVALS` of every score of a run and `COMPARISONS` of its models.

    Compared are models that differ in method only, at every step, and each model after pre-training with itself before it.

    Args:
        tasks, rows, files: as for `scores.write_scores`.
        intervals_path, comparisons_path: of the two tables.
        seed: of the bootstrap.
        provenance: of both.

    Raises:
        ArtifactError: a result file is missing or damaged, or models were scored on different sentences.
        InputError: see the `read` of each kind of task.
    """
    intervals, comparisons = [INTERVALS.to_frame()], [COMPARISONS.to_frame()]
    for name, task in tasks.items():
        chosen = [place for place, row in enumerate(rows) if row["task"] == name]
        own = [rows[place] for place in chosen]
        results = read_results(name, task, own, [files[place] for place in chosen])
        systems = systems_of(own, results)
        pairs = pairs_of(own, systems)
        found, compared = task_tables(results, systems, pairs, seed=seed)
        intervals.append(found)
        comparisons.append(compared)
        log.info("%s: %d intervals, %d pairs in %d languages", name, len(found), len(pairs), len(results.languages))
    write_table(intervals_path, pl.concat(intervals), provenance)
    write_table(comparisons_path, pl.concat(comparisons), provenance)


def systems_of(rows: Rows, results: SentenceResults) -> list[System]:
    """Every model at every step, then each seed group of several models as one."""
    models = [System(row["model"], row["step"], 0, results.of[row["model"], row["step"]]) for row in rows]
    groups: dict[tuple[str, int], list[System]] = {}
    for row, model in zip(rows, models, strict=True):
        groups.setdefault((_seed_group(row), row["step"]), []).append(model)
    return models + [
        System(name, step, len(members), tuple(unit for member in members for unit in member.units))
        for (name, step), members in groups.items()
        if len(members) > 1
    ]


def pairs_of(rows: Rows, systems: Sequence[System]) -> list[Pair]:
    """Pairs of systems: methods that differ in nothing else, step by step; every later step with the first one.

    A seed group takes part as a whole; its later steps are compared with the first one if all its models were scored there.
    """
    place = {(system.name, system.step, system.seeds > 0): at for at, system in enumerate(systems)}
    settings: dict[tuple[Any, ...], list[int]] = {}
    members: dict[str, dict[int, list[str]]] = {}
    for row in rows:
        name, step = _seed_group(row), row["step"]
        members.setdefault(name, {}).setdefault(step, []).append(row["model"])
        at = place.get((name, step, True), place[row["model"], step, False])
        rest = name.removeprefix(f"{row['method']}-")
        alike = settings.setdefault((rest, row["source"], row["target"], row["dim"], step), [])
        if at not in alike:
            alike.append(at)
    pairs = [Pair("methods", *pair) for alike in settings.values() for pair in combinations(alike, 2)]
    for name, models in members.items():
        before, *later = sorted(models)
        for after in later:
            if len(models[after]) > 1 and models[after] == models[before]:
                pairs.append(Pair("steps", place[name, after, True], place[name, before, True]))
                continue
            common = [model for model in models[after] if model in models[before]]
            pairs += [Pair("steps", place[model, after, False], place[model, before, False]) for model in common]
    return pairs


def _seed_group(row: Mapping[str, Any]) -> str:
    return without_seed(row["model"], row["seed"])
