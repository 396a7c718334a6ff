"""Tags of words by a fine-tuned tagger; `evaluation.tagging` trains and scores it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lexigraft.evaluation.tasks import Metric, Task
from lexigraft.languages import ByLanguage
from lexigraft.settings import Settings
from lexigraft.tagged_corpora.settings import TagFormat, TaggedPath

if TYPE_CHECKING:
    import polars as pl

STAGE = "tag_scores"
METRICS = {
    "f1": Metric({"right_entities": 1, "all_entities": -1}, "entities", "entities", scale=200.0, undefined=0.0),
    "token_f1": Metric({"right_marked": 1, "all_marked": -1}, "marked", "words", scale=200.0, undefined=0.0),
    "accuracy": Metric({"right_words": 1, "words": -1}, "words", "words", scale=100.0, undefined=0.0),
}
"""F1 of entities as seqeval counts them, F1 of words whose tag is not O, the share of words with the right tag."""


class FineTuning(Settings):
    """Fine-tuning of a tagger; the defaults are those of the published runs."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 32
    """Sentences per optimizer step."""
    micro_batch: PositiveInt = 8
    """Sentences of a batch that are computed at once, those of similar length together; changes the result by rounding only."""
    learning_rate: PositiveFloat = 2e-5
    """AdamW's, of all parameters; it falls linearly to 0."""
    warmup_steps: NonNegativeInt = 0
    weight_decay: float = Field(default=0.0, ge=0)
    """Not applied to biases and LayerNorms."""
    clip_norm: PositiveFloat = 1.0
    max_length: int = Field(default=256, ge=8)
    """Tokens that are read at once; a longer sentence is read in several pieces, cut between words."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout rate everywhere in the model (the model's own rates by default)."""
    evaluate_every: PositiveInt = 1000
    """Steps between evaluations on the development sentences (and after the last step); the best model is saved."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights and optimizer are always float32. `auto`: bfloat16 on GPUs that have it, float32 on CPUs."""


class TaggerSettings(TagFormat):
    """What a tagger follows from, except the model and the seed."""

    train: ByLanguage[TaggedPath] = Field(min_length=1)
    dev: ByLanguage[TaggedPath] = Field(min_length=1)
    """Sentences that choose the best model; they should be of the languages of `train`."""
    headline: Literal["f1", "token_f1", "accuracy"] = "f1"
    """The metric that chooses the best model and stands for the task; see `METRICS`."""
    fine_tuning: FineTuning = FineTuning()


class TaggingTask(TaggerSettings, Task):
    """Tags of words, zero-shot: a tagger is fine-tuned on some languages (English) and scored in all others."""

    note: ClassVar[str] = "tags of words"
    sentences_shared: ClassVar[bool] = False

    kind: Literal["tagging"]
    test: ByLanguage[TaggedPath] = Field(min_length=1)
    """Sentences to score; `languages` are of these."""
    seeds: list[NonNegativeInt] = Field(default=[42], min_length=1)
    """A tagger is fine-tuned with each; scores are means over them."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} hold one twice")
        for language in [*(self.languages or []), *(self.pretrained_languages or [])]:
            if language not in self.test:
                raise ValueError(f"no test sentences are given for {language}; `test` has {', '.join(self.test)}")
        return self

    @property
    def tagger(self) -> dict[str, Any]:
        """Values of `TaggerSettings`: what the tagger follows from, and none of the languages that it is scored in."""
        return self.model_dump(mode="json", include=set(TaggerSettings.model_fields))

    def at(self, step: int) -> Self:
        """The task at a step of pre-training: `test` holds the languages to score and no others."""
        task = super().at(step)
        test = {language: self.test[language] for language in task.languages or self.test}
        return task.model_copy(update={"test": test, "languages": None})

    def repetitions(self) -> list[dict[str, int]]:
        """One for each seed of fine-tuning."""
        return [{"seed": seed} for seed in self.seeds]

    def outside_files(self) -> dict[str, list[str]]:
        """Files of tagged sentences: `train`, `dev`, `test`."""
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        return {name: [file.path for file in part.values()] for name, part in parts.items()}

    def headline_metric(self) -> str:
        """`headline`."""
        return self.headline

    def read(self, path: Path) -> tuple[pl.DataFrame, dict[str, Metric]]:
        """Read counts of words and entities: `METRICS`, the headline first."""
        from lexigraft.artifacts import read_table

        return _with_sums(read_table(path, STAGE)), {self.headline: METRICS[self.headline], **METRICS}


def scores_of(counts: pl.DataFrame) -> dict[str, float]:
    """All `METRICS` of sentences, from the counts of `tagging.entities.sentence_counts`."""
    sums = _with_sums(counts)
    return {name: metric.of_rows(sums) for name, metric in METRICS.items()}


def _with_sums(counts: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return counts.with_columns(
        all_entities=pl.col("entities") + pl.col("predicted_entities"),
        all_marked=pl.col("marked") + pl.col("predicted_marked"),
    )
