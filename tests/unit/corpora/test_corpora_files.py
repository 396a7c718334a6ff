"""Corpora in folders of text files: every file format, and invalid files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from corpora_cases import Corpus, error_of, text_folder


def test_every_text_format_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    settings = text_folder(folder, {"eng_Latn.txt": "\ufeffone\r\n\r\ntwo \u2028 three\r\nfour", "README.md": "no text"})
    (folder / "tur_Latn.txt.gz").write_bytes(gzip.compress(b"bir\niki\n"))
    rows = [{"text": "один", "n": 1}, {"text": None}, {"text": "два\nтри"}]
    (folder / "rus_Cyrl.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    pl.DataFrame({"n": [1, 2], "text": ["ένα", "δύο"]}).write_parquet(folder / "ell_Grek.parquet")
    corpus = Corpus(tmp_path / "out", settings)
    assert corpus.sentences["language"].unique(maintain_order=True).to_list() == [
        "ell_Grek",
        "eng_Latn",
        "rus_Cyrl",
        "tur_Latn",
    ]
    assert list(zip(corpus.ids("eng_Latn"), corpus.texts("eng_Latn"), strict=True)) == [
        ("0", "one"),
        ("2", "two three"),
        ("3", "four"),
    ]
    assert corpus.texts("tur_Latn") == ["bir", "iki"]
    assert list(zip(corpus.ids("rus_Cyrl"), corpus.texts("rus_Cyrl"), strict=True)) == [("0", "один"), ("2", "два три")]
    assert corpus.texts("ell_Grek") == ["ένα", "δύο"]
    assert corpus.count("eng_Latn")["empty"] == 1


def test_tables_of_verses_keep_their_ids(tmp_path: Path) -> None:
    folder = tmp_path / "verses"
    settings = text_folder(folder, {"eng_Latn.tsv": "40001001\tThe book\n40001002\tAbraham\n\n40001001\tagain\n40001003\t\n"})
    (folder / "kor_Hang.tsv.gz").write_bytes(gzip.compress("40001001\t\ucc45\n".encode()))
    corpus = Corpus(tmp_path / "out", settings)
    assert list(zip(corpus.ids("eng_Latn"), corpus.texts("eng_Latn"), strict=True)) == [
        ("40001001", "The book"),
        ("40001002", "Abraham"),
    ]
    assert corpus.ids("kor_Hang") == ["40001001"]
    assert (corpus.count("eng_Latn")["duplicate_ids"], corpus.count("eng_Latn")["empty"]) == (1, 2)
    (folder / "eng_Latn.tsv").write_text("40001001\tThe book\nno id here\n")
    assert "line 2" in error_of(tmp_path, settings)


def test_languages_are_read_in_the_order_of_the_settings(tmp_path: Path) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "one", "tur_Latn.txt": "bir", "notes.txt": "x"})
    corpus = Corpus(tmp_path / "out", settings | {"languages": ["tur_Latn", "eng_Latn"]})
    assert corpus.sentences["language"].to_list() == ["tur_Latn", "eng_Latn"]


def test_lines_across_chunk_borders_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexigraft.corpora.lines._CHUNK", 7)
    lines = ["ab", "", "çok uzun bir satır daha uzun", "d", "日本語", "f"]
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "\n".join(lines)})
    corpus = Corpus(tmp_path / "out", settings)
    assert corpus.ids("eng_Latn") == ["0", "2", "3", "4", "5"]
    assert corpus.texts("eng_Latn") == [line for line in lines if line]


@pytest.mark.parametrize("chunk", [5, 1 << 23])
@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "jsonl"])
def test_text_that_is_not_utf8_raises_an_error_with_line_and_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, suffix: str
) -> None:
    monkeypatch.setattr("lexigraft.corpora.lines._CHUNK", chunk)
    lines = [b"abc", b"{", b"caf\xe9 noir"] if suffix != "jsonl" else [b'{"text": "a"}', b'{"text": "b"}', b"caf\xe9"]
    data = b"\n".join(lines)
    (tmp_path / f"fra_Latn.{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    message = error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})
    assert "byte 0xE9 at byte 4 of line 3" in message
    assert f"fra_Latn.{suffix}, line 3" in message
    assert "iconv" in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"sentence": "x"}', "the line has keys sentence"),
        ("[1]", "a list"),
        ("{", "not JSON"),
        ('{"text": 5}', "not a string"),
    ],
)
def test_invalid_json_lines_raise_an_error(tmp_path: Path, line: str, expected: str) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.jsonl": '{"text": "a"}\n' + line})
    message = error_of(tmp_path, settings)
    assert expected in message
    assert "eng_Latn.jsonl, line 2" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("eng_Latn.txt.gz", gzip.compress(b"abc\n" * 1000, mtime=0)[:-12], "damaged gzip data"),
        ("eng_Latn.parquet", b"PAR1 and nothing more", "cannot be read as Parquet"),
        ("eng_Latn.parquet", {"sentence": ["x"], "n": [1]}, "the file has sentence, n"),
        ("eng_Latn.parquet", {"text": [1]}, "holds int64"),
    ],
)
def test_damaged_files_and_wrong_columns_raise_an_error(tmp_path: Path, name: str, content: Any, message: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        pl.DataFrame(content).write_parquet(tmp_path / name)
    assert message in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})


def test_wrong_folders_and_file_names_raise_an_error(tmp_path: Path) -> None:
    assert "does not exist" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path / "no")})
    assert "holds no text" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "x", "turkish.txt": "x"})
    assert "'turkish.txt'" in error_of(tmp_path, settings)
    missing = error_of(tmp_path, settings | {"languages": ["eng_Latn", "deu_Latn"]})
    assert "no file for language 'deu_Latn'" in missing
    assert "there are eng_Latn, turkish" in missing
    both = text_folder(tmp_path / "both", {"eng_Latn.txt": "x", "eng_Latn.jsonl": "{}"})
    assert "two files for eng_Latn" in error_of(tmp_path, both)


def test_an_empty_file_raises_an_error_with_language_and_file(tmp_path: Path) -> None:
    message = error_of(tmp_path, text_folder(tmp_path / "text", {"eng_Latn.txt": "x\n", "tur_Latn.txt": "\n12\n"}))
    assert "no sentence of tur_Latn remains (2 read" in message
    assert "tur_Latn.txt" in message
