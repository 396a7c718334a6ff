"""Settings of evaluation tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.languages import LanguageCode
from lexigraft.settings import Name, Settings


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
    top_k: list[PositiveInt] = Field(default=[1, 5, 10], min_length=1)
    max_length: PositiveInt = 512

    def at(self, step: int) -> RetrievalTask:
        """The task as it stands at a step of pre-training."""
        languages = self.pretrained_languages if step and self.pretrained_languages else self.languages
        return self.model_copy(update={"languages": languages, "pretrained_languages": None})


TaskSettings = Annotated[RetrievalTask, Field()]
