"""What the tasks of a run score: a row for each task, model and step, and the wildcards of the result files of each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexigraft.config.configuration import Config
from lexigraft.workflow.plan import Plan


def scored_rows(plan: Plan) -> list[dict[str, Any]]:
    """What each task, model and step is called in the score table: `evaluation.scores.ROW_KEYS`."""
    return [
        {
            "run": plan.config.run,
            "model": model.name,
            "method": model.method,
            "source": model.source,
            "target": model.tokenizer,
            "dim": str(model.dim),
            "seed": model.seed,
            "step": step,
            "task": task,
        }
        for task in plan.config.tasks
        for model in plan.models.values()
        for step in plan.steps_of(model.name)
    ]


def result_wildcards(config: Config, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Wildcards of the result files of a row: one file, or one for each repetition of its task."""
    shared = {name: row[name] for name in ("task", "model", "step")}
    return [shared | more for more in config.tasks[row["task"]].repetitions()]


def held_out_corpora(config: Config, shown: str) -> list[str]:
    """Corpora of the tasks with the flag `shown` (`shows_repeats`, `shows_fertility`)."""
    return sorted({str(getattr(task, "corpus", "")) for task in config.tasks.values() if getattr(task, shown)})
