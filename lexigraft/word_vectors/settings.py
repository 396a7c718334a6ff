"""Settings of multilingual word vectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.languages import LanguageCode
from lexigraft.settings import Name, Settings


class LearnedVectors(Settings):
    """Vectors learned from sentence-aligned text (positive PMI of words and sentence ids, truncated SVD)."""

    kind: Literal["learned"]
    corpus: Name
    dim: PositiveInt = 200
    min_sentences: PositiveInt = 2
    """Words seen in fewer sentences are dropped."""


class VectorFiles(Settings):
    """Vectors read from files: word2vec text or binary, fastText `.vec`, or Parquet."""

    kind: Literal["files"]
    paths: dict[LanguageCode, str] | str
    """One file for all languages (keys `iso3:word`, English bare), or a file per language (keys are words)."""
    format: Literal["auto", "word2vec_text", "word2vec_binary", "parquet"] = "auto"
    languages: list[str] | None = None
    """Keep only these languages (ISO 639-3 or full codes)."""
    max_words: PositiveInt | None = None
    """The first so many words of each file, counted after the language filter."""


WordVectorSettings = Annotated[LearnedVectors | VectorFiles, Field(discriminator="kind")]
