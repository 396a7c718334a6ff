"""Helpers for the tests of corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lexigraft.artifacts import Provenance, read_table
from lexigraft.corpora.build import write_corpus
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.errors import InputError, LexigraftError
from lexigraft.settings import parse


class Corpus:
    """The output of `write_corpus` for given settings."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.paths = [folder / f"{name}.parquet" for name in ("sentences", "held_out", "counts")]
        write_corpus(parse(CorpusSettings, dict(settings)), *self.paths, Provenance("corpus"))
        self.sentences, self.held_out, self.counts = (read_table(path, "corpus") for path in self.paths)

    def texts(self, language: str) -> list[str]:
        return self.sentences.filter(language=language)["text"].to_list()

    def ids(self, language: str) -> list[str]:
        return self.sentences.filter(language=language)["sentence_id"].to_list()

    def count(self, language: str) -> dict[str, Any]:
        counts = self.counts.row(by_predicate=pl.col("language") == language, named=True)
        parts = ("kept", "held_out", "placeholder", "empty", "duplicate_ids", "beyond_limit")
        assert counts["read"] == sum(counts[part] for part in parts)
        return counts


def error_of(folder: Path, settings: Mapping[str, Any], kind: type[LexigraftError] = InputError) -> str:
    """The error message of these settings, after checking that nothing was written."""
    out = folder / "rejected"
    with pytest.raises(kind) as caught:
        Corpus(out, settings)
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def text_folder(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return {"adapter": "text_folder", "path": str(folder)}


def pivot_folder(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for language, text in files.items():
        (folder / f"{language}.tsv").write_text(text, encoding="utf-8")
    return {"adapter": "aligned_tsv", "path": str(folder), "pivot": "eng_Latn"}
