"""Settings of evaluation tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lexigraft.languages import ByLanguage, LanguageCode
from lexigraft.settings import Name, Settings
from lexigraft.tagged_corpora.settings import TagFormat, TaggedPath


class RetrievalTask(Settings):
    """Sentence retrieval among a corpus's held-out sentences: the index holds the language's sentences, queries are English."""

    kind: Literal["retrieval"]
    corpus: Name
    query_language: LanguageCode = "eng_Latn"
    languages: list[LanguageCode] | None = None
    """Languages to score (all of the corpus but the query language by default)."""
    pretrained_languages: list[LanguageCode] | None = None
    """Languages to score after continual pre-training, where they are others than before it."""
    layer: PositiveInt | Literal["two_thirds"] = "two_thirds"
    """Layer whose output is averaged: `two_thirds` is the 8th of 12, the 4th of 6."""
    layers: list[PositiveInt] | Literal["all"] = []
    """Further layers to score, in the same pass: their metrics are `top_10_layer_6`, …."""
    directions: Literal["forward", "both"] = "forward"
    """`both` also searches the queries' language with the others' sentences: `top_10_back`, …."""
    mean_reciprocal_rank: bool = False
    """Also the mean of 1 / rank (`mrr`), for which every sentence is ranked, not the nearest few."""
    special_tokens: bool = True
    """Average over special tokens as well, as published."""
    top_k: list[PositiveInt] = Field(default=[1, 5, 10], min_length=1)
    max_length: PositiveInt = 512

    def at(self, step: int) -> RetrievalTask:
        """The task as it stands at a step of pre-training."""
        languages = self.pretrained_languages if step and self.pretrained_languages else self.languages
        return self.model_copy(update={"languages": languages, "pretrained_languages": None})


class FineTuning(Settings):
    """Fine-tuning of a tagger; the defaults are those of the published runs."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 32
    """Sentences an optimizer step."""
    micro_batch: PositiveInt = 8
    """Sentences of a batch that are computed at once, those of like length together; changes the result by rounding only."""
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
    """Steps between evaluations on the development sentences (and after the last step); the best model is kept."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights and optimizer are always float32. `auto`: bfloat16 on GPUs that have it, float32 on CPUs."""


class TaggerSettings(TagFormat):
    """What a tagger follows from, but the model and the seed."""

    train: ByLanguage[TaggedPath] = Field(min_length=1)
    dev: ByLanguage[TaggedPath] = Field(min_length=1)
    """Sentences that choose the best model; they should be of the languages of `train`."""
    headline: Literal["f1", "token_f1", "accuracy"] = "f1"
    """The metric that chooses and stands for the task: `f1` of entities as seqeval counts them, `token_f1` or `accuracy`."""
    fine_tuning: FineTuning = FineTuning()


class TaggingTask(TaggerSettings):
    """Tags of words, zero-shot: a tagger is fine-tuned on some languages (English) and scored in all others."""

    kind: Literal["tagging"]
    test: ByLanguage[TaggedPath] = Field(min_length=1)
    languages: list[LanguageCode] | None = None
    """Languages of `test` to score (all by default)."""
    pretrained_languages: list[LanguageCode] | None = None
    """Languages to score after continual pre-training, where they are others than before it."""
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

    def at(self, step: int) -> TaggingTask:
        """The task as it stands at a step of pre-training: `test` holds the languages to score and no others."""
        wanted = self.pretrained_languages if step and self.pretrained_languages else self.languages
        test = {language: self.test[language] for language in wanted or self.test}
        return self.model_copy(update={"test": test, "languages": None, "pretrained_languages": None})


class LanguageModelingTask(Settings):
    """How well a model predicts a corpus's held-out sentences, per language; and the fertility of its tokenizer there."""

    kind: Literal["language_modeling"]
    corpus: Name
    languages: list[LanguageCode] | None = None
    """Languages to score (all of the corpus by default)."""
    pretrained_languages: list[LanguageCode] | None = None
    """Languages to score after continual pre-training, where they are others than before it."""
    measure: Literal["masked", "pseudo_perplexity"] = "masked"
    """`masked`: a share of the tokens hidden at once, as in pre-training; `pseudo_perplexity`: every token once, on its own."""
    mask_probability: float = Field(default=0.15, gt=0, lt=1)
    max_sentences: PositiveInt | None = None
    """Read the first so many sentences of each language."""
    max_length: int = Field(default=512, ge=8)
    """Tokens of a sentence that are read; the rest is counted."""

    def at(self, step: int) -> LanguageModelingTask:
        """The task as it stands at a step of pre-training."""
        languages = self.pretrained_languages if step and self.pretrained_languages else self.languages
        return self.model_copy(update={"languages": languages, "pretrained_languages": None})


TaskSettings = Annotated[RetrievalTask | TaggingTask | LanguageModelingTask, Field(discriminator="kind")]
