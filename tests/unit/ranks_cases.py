"""Ranks artifacts for tests of scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.evaluation.tasks import Task, tasks_of


def retrieval_tasks(names: Iterable[str], **options: Any) -> dict[str, Task]:
    """Tasks of retrieval with these names and settings."""
    return tasks_of({name: {"kind": "retrieval", "corpus": "c", **options} for name in names})


def run_row(model: str, step: int = 0, task: str = "sr-b", seed: int = 3) -> dict[str, Any]:
    """Names of a model's scores in the tables of a run; a model is called method-source-dim."""
    method, source, dim, *_ = model.split("-")
    names = {"run": "r", "model": model, "method": method, "source": source, "target": "t", "dim": dim}
    return {**names, "seed": seed, "step": step, "task": task}


def write_ranks(path: Path, ranks: Mapping[str, Sequence[int | None]]) -> Path:
    """Ranks of queries 0000, 0001, … of each language."""
    parts = [
        pl.DataFrame(
            {"language": language, "variant": "", "query_id": [f"{i:04d}" for i in range(len(values))], "rank": values},
            schema={"language": pl.String, "variant": pl.String, "query_id": pl.String, "rank": pl.Int32},
        )
        for language, values in ranks.items()
    ]
    write_table(path, pl.concat(parts), Provenance("ranks"))
    return path
