"""Word vectors read from files, against values that were written."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from word_vector_cases import EXPECTED, KEYS, binary_of, error_of, pairs, random_vectors, read, text_of

from lexigraft.word_vectors import parquet, word2vec

# ----------------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
@pytest.mark.parametrize("block", [40, 1 << 23])
def test_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: bool, end: str, block: int) -> None:
    monkeypatch.setattr(word2vec, "_BLOCK", block)
    vectors = random_vectors(len(KEYS))
    (tmp_path / "a.vec").write_bytes(text_of(KEYS, vectors, header=header, end=end))
    found = read(tmp_path / "a.vec")
    assert pairs(found) == EXPECTED
    np.testing.assert_array_equal(found.vectors, vectors)
    assert found.vectors.dtype == np.float32
    assert found.sentences.dtype == np.int64
    assert found.sentences.tolist() == [0] * len(KEYS)


@pytest.mark.parametrize("newline", [b"", b"\n"])
@pytest.mark.parametrize("block", [30, 1 << 23])
def test_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newline: bytes, block: int) -> None:
    monkeypatch.setattr(word2vec, "_BLOCK", block)
    vectors = random_vectors(len(KEYS))
    (tmp_path / "a.bin").write_bytes(binary_of(KEYS, vectors, newline=newline))
    found = read(tmp_path / "a.bin")
    assert pairs(found) == EXPECTED
    np.testing.assert_array_equal(found.vectors, vectors)


@pytest.mark.parametrize("suffix", ["vec.gz", "bin.gz"])
def test_gzipped_files(tmp_path: Path, suffix: str) -> None:
    vectors = random_vectors(len(KEYS))
    data = text_of(KEYS, vectors) if suffix.startswith("vec") else binary_of(KEYS, vectors)
    (tmp_path / f"a.{suffix}").write_bytes(gzip.compress(data))
    np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}").vectors, vectors)


@pytest.mark.parametrize("kind", ["list", "array", "float64 list", "columns"])
@pytest.mark.parametrize("rows", [2, 1 << 16])
def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rows: int) -> None:
    monkeypatch.setattr(parquet, "_BLOCK_ROWS", rows)
    vectors = random_vectors(len(KEYS))
    table = pl.DataFrame({"word": KEYS})
    if kind == "columns":
        table = table.hstack(pl.DataFrame(vectors, schema=["x", "y", "z"]))
    elif kind == "array":
        table = table.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float32, 3)))
    else:
        inner = pl.Float64 if kind == "float64 list" else pl.Float32
        table = table.with_columns(vector=pl.Series(vectors.tolist(), dtype=pl.List(inner)))
    table.write_parquet(tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert pairs(found) == EXPECTED
    np.testing.assert_array_equal(found.vectors, vectors)


def test_parquet_with_a_language_column(tmp_path: Path) -> None:
    table = pl.DataFrame({"language": ["tur_Latn", "rus_Cyrl"], "word": ["tur:su", "вода"], "vector": [[1.0, 2.0], [3.0, 4.0]]})
    table.write_parquet(tmp_path / "a.parquet")
    assert pairs(read(tmp_path / "a.parquet")) == [("tur_Latn", "tur:su"), ("rus_Cyrl", "вода")]


def test_numbers_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    numbers = [
        "1e-05",
        "-0.1",
        "3.4028235e38",
        "0.30000001192092896",
        "1",
        "-7.006492321624085e-46",
        "+2.5",
        "123456789.123456789",
    ]
    (tmp_path / "a.vec").write_text("w " + " ".join(numbers) + "\n")
    expected = np.array([np.float32(number) for number in numbers])
    np.testing.assert_array_equal(read(tmp_path / "a.vec").vectors[0], expected)


def test_quotes_hashes_and_null_are_words(tmp_path: Path) -> None:
    words = ['"', '"a', "#", "null", "NaN", "'", ",", "1", "a\u00a0b", "12:3"]
    (tmp_path / "a.vec").write_bytes(text_of(words, random_vectors(len(words))))
    assert read(tmp_path / "a.vec").words.to_list() == words


word = st.text(st.characters(exclude_characters=" \n\r$", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1)
number = st.floats(width=32, allow_nan=False, allow_infinity=False)


@examples(deadline=None)
@given(st.dictionaries(word, st.tuples(number, number), min_size=1, max_size=8), st.booleans())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, table: dict[str, tuple[float, float]], binary: bool) -> None:
    path = tmp_path_factory.mktemp("vectors") / "a.vectors"
    vectors = np.array(list(table.values()), dtype=np.float32)
    path.write_bytes(binary_of(list(table), vectors) if binary else text_of(list(table), vectors))
    kind = "word2vec_binary" if binary else "word2vec_text"
    found = read({"tur_Latn": path}, format=kind)
    assert found.words.to_list() == list(table)
    np.testing.assert_array_equal(found.vectors, vectors)


# ------------------------------------------------------------------------------------------- languages, limits, duplicates


def test_words_of_a_file_per_language_are_not_split(tmp_path: Path) -> None:
    vectors = random_vectors(2)
    (tmp_path / "tur.vec").write_bytes(text_of(["su", "tur:$x"], vectors))
    (tmp_path / "kor.bin").write_bytes(binary_of(["물", "su"], vectors))
    paths = {"tur_Latn": tmp_path / "tur.vec", "kor_Hang": tmp_path / "kor.bin"}
    found = read(paths)
    assert pairs(found) == [("tur_Latn", "su"), ("tur_Latn", "tur:$x"), ("kor_Hang", "물"), ("kor_Hang", "su")]
    np.testing.assert_array_equal(found.vectors, np.concatenate([vectors, vectors]))
    assert pairs(read(paths, languages=["kor"])) == [("kor_Hang", "물"), ("kor_Hang", "su")]
    assert pairs(read(paths, languages=["kor_Hang"], max_words=1)) == [("kor_Hang", "물")]


def test_languages_filter_then_limit(tmp_path: Path) -> None:
    vectors = random_vectors(len(KEYS))
    (tmp_path / "a.vec").write_bytes(text_of(KEYS, vectors))
    found = read(tmp_path / "a.vec", languages=["tur_Latn", "zho", "deu"])
    assert pairs(found) == [("tur", " su"), ("zho", "水"), ("deu", "a:b")]
    np.testing.assert_array_equal(found.vectors, vectors[[1, 6, 7]])
    limited = read(tmp_path / "a.vec", languages=["tur_Latn", "zho", "deu"], max_words=2)
    assert pairs(limited) == [("tur", " su"), ("zho", "水")]
    assert pairs(read(tmp_path / "a.vec", max_words=3)) == EXPECTED[:3]


def test_no_word_in_the_languages_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_bytes(text_of(KEYS, random_vectors(len(KEYS))))
    assert "no word remains in the languages jpn" in error_of(tmp_path / "a.vec", languages=["jpn"])
    assert "no word remains in the languages jpn" in error_of({"tur_Latn": tmp_path / "a.vec"}, languages=["jpn_Jpan"])


@examples(deadline=None)
@given(keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=9))
def test_the_last_of_duplicate_keys_wins(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    path = tmp_path_factory.mktemp("vectors") / "a.vec"
    vectors = random_vectors(len(keys))
    path.write_bytes(text_of(keys, vectors))
    last = sorted({key: row for row, key in enumerate(keys)}.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lexigraft.word_vectors.stream._BLOCK_ROWS", 2)
        found = read(path)
    assert found.words.to_list() == [keys[row] for row in last]
    np.testing.assert_array_equal(found.vectors, vectors[last])


def test_duplicates_are_counted_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.vec").write_bytes(text_of(["x", "eng:x", "x"], random_vectors(3)))
    with caplog.at_level(logging.INFO):
        assert len(read(tmp_path / "a.vec")) == 1
    assert "2 keys occur again later in the files: the last one wins" in caplog.text


def test_empty_words_are_dropped(tmp_path: Path) -> None:
    vectors = random_vectors(4)
    (tmp_path / "a.vec").write_bytes(text_of(["$", "", "tur:$$", "x"], vectors))
    found = read(tmp_path / "a.vec")
    assert pairs(found) == [("eng", "x")]
    np.testing.assert_array_equal(found.vectors, vectors[3:])
