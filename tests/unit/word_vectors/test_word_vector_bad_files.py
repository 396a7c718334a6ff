"""Files of word vectors that are damaged, of two widths or hold no numbers: what is wrong and where."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from word_vector_cases import binary_of, error_of, pairs, random_vectors, read, text_of

from lexigraft.word_vectors import word2vec


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity"])
def test_nan_error_names_word_and_file(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.vec").write_text(f"good 1 2\ntur:bad 1 {value}\n")
    message = error_of(tmp_path / "a.vec")
    assert "the vector of 'bad' (row 1) holds NaN or infinity" in message
    assert "a.vec" in message


@pytest.mark.parametrize("kind", ["binary", "list", "missing value"])
def test_nan_in_other_formats(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    vectors = np.array([[1, 2], [np.nan, 1]], dtype=np.float32)
    if kind == "binary":
        path.write_bytes(binary_of(["good", "bad"], vectors))
    else:
        values = [1.0, 2.0], [None if kind == "missing value" else float("nan"), 1.0]
        pl.DataFrame({"word": ["good", "bad"], "vector": values}).write_parquet(path)
    assert "the vector of 'bad'" in error_of(path)


def test_nan_in_an_unread_language_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("good 1 2\ntur:bad 1 nan\n")
    assert pairs(read(tmp_path / "a.vec", languages=["eng"])) == [("eng", "good")]


@pytest.mark.parametrize("block", [8, 1 << 23])
@pytest.mark.parametrize(
    ("text", "widths", "line"),
    [
        ("a 1 2\nb 1 2\nc 1 2 3\n", "2 and 3", 3),
        ("3 2\na 1 2\nb 1\nc 1 2\n", "2 and 1", 3),
        ("1 3\na 1 2\n", "3 and 2", 2),
        ("a 1 2\nnew york 1 2\n", "2 and 3", 2),
    ],
)
def test_error_about_two_widths_names_line_and_widths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, text: str, widths: str, line: int
) -> None:
    monkeypatch.setattr(word2vec, "_BLOCK", block)
    (tmp_path / "a.vec").write_text(text)
    message = error_of(tmp_path / "a.vec")
    assert f"vectors of two widths: {widths}" in message
    assert f"a.vec, line {line}" in message


def test_two_widths_in_parquet_and_between_files(tmp_path: Path) -> None:
    pl.DataFrame({"word": ["a", "b", "c"], "vector": [[1.0, 2.0], [1.0, 2.0], [1.0]]}).write_parquet(tmp_path / "a.parquet")
    message = error_of(tmp_path / "a.parquet")
    assert "vectors of two widths: 2 and 1" in message
    assert "a.parquet, row 2" in message
    (tmp_path / "x.vec").write_text("a 1 2\n")
    (tmp_path / "y.vec").write_text("a 1 2 3\n")
    message = error_of({"tur_Latn": tmp_path / "x.vec", "kor_Hang": tmp_path / "y.vec"})
    assert "vectors of two widths: 2 and 3" in message
    assert "x.vec" in message
    assert "y.vec" in message


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a 1 2\nb 1 2\ncaf\xe9 1 2\n", "not UTF-8: byte 0xE9|line 3"),
        (b"a 1 2\nb 1 x2\n", "'x2' is no number|line 2"),
        (b"a 1 2\nb 1 \xd9\xa3\n", "'٣' is no number|line 2"),
        (b"a 1 2\nb 1  \n", "'' is no number|line 2"),
        (b"a 1 2\n\nb 1 2\n", "a line without a vector|line 2"),
        (b"3 2\na 1 2\nb 1 2\n", "promises 3 words, the file ends after 2 words"),
        (b"1 2\na 1 2\nb 1 2\n", "promises 1 words, the file continues"),
        (b"", "is empty"),
        (b"\x80\x04\x95gensim", "the pickle cannot be read|nothing of it was run"),
        (b"\x80\x09gensim", "unknown format: the file begins with b'\\x80\\tgensim'"),
        (b"just some text\n", "unknown format"),
        (b"PAR1 and no more", "cannot be read as Parquet"),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "a.vec").write_bytes(data)
    message = error_of(tmp_path / "a.vec")
    assert "a.vec" in message
    for part in expected.split("|"):
        assert part in message


def test_missing_file(tmp_path: Path) -> None:
    assert "'no.vec' does not exist" in error_of(tmp_path / "no.vec")


def test_configured_text_format_without_vectors_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("word\n")
    assert "the first line holds no vector" in error_of(tmp_path / "a.vec", format="word2vec_text")


@pytest.mark.parametrize("block", [16, 1 << 23])
@pytest.mark.parametrize("kept", [0, 1, 4])
def test_truncated_binary_error_names_the_number_of_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, kept: int
) -> None:
    monkeypatch.setattr(word2vec, "_BLOCK", block)
    keys = ["one", "two", "three", "four", "five"]
    vectors = random_vectors(5)
    whole = binary_of(keys, vectors)
    missing = sum(len(key) + 1 + 12 for key in keys[kept + 1 :])
    (tmp_path / "a.bin").write_bytes(whole[: len(whole) - missing - 3])
    assert f"it holds {kept} of 5 words" in error_of(tmp_path / "a.bin", format="word2vec_binary")


def test_other_bad_binary_files(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    whole = binary_of(["one", "two"], random_vectors(2))
    path.write_bytes(whole + b"more")
    assert "continues after them" in error_of(path)
    path.write_bytes(b"2 3\n" + b"\xff\xfe \x00\x01" + bytes(40))
    assert "word 1" in error_of(path, format="word2vec_binary")
    path.write_bytes(b"2 3\n" + b"x" * 40_000)
    assert "no word where one should begin" in error_of(path, format="word2vec_binary")
    path.write_bytes(b"words without a header\n")
    assert "no word2vec header" in error_of(path, format="word2vec_binary")
    path.write_bytes(b"9999999999 300\n")
    assert "it holds 0 of 9999999999 words" in error_of(path)


def test_truncated_gzip(tmp_path: Path) -> None:
    data = gzip.compress(text_of([f"w{row}" for row in range(2000)], random_vectors(2000)))
    (tmp_path / "a.vec.gz").write_bytes(data[:-20])
    assert "damaged gzip data" in error_of(tmp_path / "a.vec.gz")


def test_bad_parquet_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"token": ["a"], "vector": [[1.0]]}).write_parquet(path)
    assert "no column 'word': the file has token, vector" in error_of(path)
    pl.DataFrame({"word": ["a"], "count": [1]}).write_parquet(path)
    assert "no vectors: the file has word, count" in error_of(path)
    pl.DataFrame({"word": ["a", None], "vector": [[1.0], [2.0]]}).write_parquet(path)
    message = error_of(path)
    assert "no word" in message
    assert "row 1" in message
    pl.DataFrame({"word": [], "vector": []}, schema={"word": pl.String, "vector": pl.List(pl.Float32)}).write_parquet(path)
    assert "holds no row" in error_of(path)
