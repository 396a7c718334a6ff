"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lexigraft.evaluation.scores import without_seed


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Artifacts of one run, and what was asked for. What is left empty is absent from the report, which says so.

    Attributes:
        run: name of the run.
        scores: `scores.parquet`.
        rows: what the scores are about, `ROW_KEYS` of each task, model and step; models come in their order.
        configuration: the resolved configuration, plain JSON values.
        seed: of the run.
        intervals: `intervals.parquet`.
        comparisons: `comparisons.parquet`.
        notes: name of a task -> what its scores are.
        token_origins: `token_origins.parquet`: how the rows of every model were made.
        corpora: name of a corpus -> `counts.parquet`.
        test_sentences: name of a corpus that retrieval is tested on -> `held_out.parquet`.
        tokens: name of a model -> `tokens.parquet` of step 0.
        weights: name of a model -> `model.safetensors` of step 0.
        factors: name of a model -> factors of its source.
        source_vocabularies: name of a source -> `vocabulary.parquet`.
        target_vocabularies: name of a tokenizer -> `vocabulary.parquet`.
        pretraining: name of a model -> `pretraining_history.parquet`.
        held_out: name of a model -> `pretraining_held_out.parquet`.
        fertility: `<corpus>/source-<source>` or `<corpus>/target-<tokenizer>` -> the fertility table.
        hypernetworks: name of a hypernetwork -> `history.parquet`.
        quality: name of a hypernetwork -> `quality.parquet`.
    """

    run: str
    scores: Path
    rows: Sequence[Mapping[str, Any]]
    configuration: Mapping[str, Any]
    seed: int
    intervals: Path
    comparisons: Path
    notes: Mapping[str, str] = field(default_factory=dict)
    token_origins: Path | None = None
    corpora: Mapping[str, Path] = field(default_factory=dict)
    test_sentences: Mapping[str, Path] = field(default_factory=dict)
    tokens: Mapping[str, Path] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    factors: Mapping[str, Path] = field(default_factory=dict)
    source_vocabularies: Mapping[str, Path] = field(default_factory=dict)
    target_vocabularies: Mapping[str, Path] = field(default_factory=dict)
    pretraining: Mapping[str, Path] = field(default_factory=dict)
    held_out: Mapping[str, Path] = field(default_factory=dict)
    fertility: Mapping[str, Path] = field(default_factory=dict)
    hypernetworks: Mapping[str, Path] = field(default_factory=dict)
    quality: Mapping[str, Path] = field(default_factory=dict)

    def models(self) -> dict[str, Model]:
        """The models by name, in the order of `rows`."""
        return {row["model"]: model_of(row) for row in self.rows}


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its parts; `dim` is D' (`100`) or `full`."""

    name: str
    method: str
    source: str
    target: str
    dim: str
    seed: int

    @property
    def seed_group(self) -> str:
        """Its name without the seed: models that differ in their seed only are one seed group."""
        return without_seed(self.name, self.seed)

    @property
    def setting(self) -> tuple[str, str]:
        """What it shares with models that differ from it in method only: the rest of its name, and its vocabulary."""
        return self.seed_group.removeprefix(f"{self.method}-"), self.target


def model_of(row: Mapping[str, Any]) -> Model:
    """The model that a row of the scores is about."""
    return Model(row["model"], row["method"], row["source"], row["target"], str(row["dim"]), int(row["seed"]))


def labels(models: Mapping[str, Model]) -> dict[str, str]:
    """Short label of each model: its method where that is unique, else its name."""
    methods = [model.method for model in models.values()]
    return {name: model.method if methods.count(model.method) == 1 else name for name, model in models.items()}
