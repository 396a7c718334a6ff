"""Settings of multilingual word vectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.files.checksums import Sha256s
from lexigraft.languages import LanguageCode
from lexigraft.settings import Name, Settings

MATCHING_ONLY = frozenset({"max_words_per_token"})
"""Options that words and vectors do not depend on, only their matches with tokens."""


class _WordVectors(Settings):
    max_words_per_token: PositiveInt | None = None
    """Maximum number of words per token: those in the most sentences, or the first ones if that is unknown."""


class LearnedVectors(_WordVectors):
    """Vectors learned from sentence-aligned text (positive PMI of words and sentence ids, truncated SVD)."""

    kind: Literal["learned"]
    corpus: Name
    languages: list[str] | None = None
    """Learn on these languages of the corpus only (ISO 639-3 or full codes)."""
    dim: PositiveInt = 200
    min_sentences: PositiveInt = 2
    """Words seen in fewer sentences are dropped."""
    singular_power: float = Field(default=0.5, ge=0, le=2)
    """p of U S^p: 0.5 weighs the dimensions evenly, 1 gives the leading ones, which the languages share, more weight."""


class VectorFiles(_WordVectors):
    """Vectors read from files: word2vec text or binary, fastText `.vec`, Parquet, or gensim's `KeyedVectors`."""

    kind: Literal["files"]
    paths: dict[LanguageCode, str] | str
    """One file for all languages (keys `iso3:word`, English bare), or a file per language (keys are words)."""
    format: Literal["auto", "word2vec_text", "word2vec_binary", "parquet", "gensim"] = "auto"
    languages: list[str] | None = None
    """Keep only these languages (ISO 639-3 or full codes)."""
    max_words: PositiveInt | None = None
    """Maximum number of words per file, counted after the language filter."""
    sha256: Sha256s | None = None
    """Digest of the file, or of each file by name, held against what is there before it is read."""


WordVectorSettings = Annotated[LearnedVectors | VectorFiles, Field(discriminator="kind")]
