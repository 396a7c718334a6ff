"""Word vectors read from files, against values that were written, and the errors of bad files."""

from __future__ import annotations

import gzip
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance
from lexigraft.errors import InputError
from lexigraft.settings import parse
from lexigraft.word_vectors import parquet, word2vec
from lexigraft.word_vectors.read import read_vector_files, write_vector_files
from lexigraft.word_vectors.settings import VectorFiles
from lexigraft.word_vectors.table import WordVectors, read_word_vectors

Floats = NDArray[np.float32]
KEYS = ["water", "tur:$su", "otq:$ndöhi$", "a:b", "eng:x", "çeşme", "zho:水", "deu:a:b"]
EXPECTED = [
    ("eng", "water"),
    ("tur", " su"),
    ("otq", " ndöhi "),
    ("eng", "a:b"),
    ("eng", "x"),
    ("eng", "çeşme"),
    ("zho", "水"),
    ("deu", "a:b"),
]


def settings(paths: Any, **more: Any) -> VectorFiles:
    paths = {code: str(path) for code, path in paths.items()} if isinstance(paths, Mapping) else str(paths)
    value: VectorFiles = parse(VectorFiles, {"kind": "files", "paths": paths, **more})
    return value


def read(paths: Any, **more: Any) -> WordVectors:
    return read_vector_files(settings(paths, **more))


def written(paths: Any, **more: Any) -> WordVectors:
    """What is read back from the artifact that is written of files."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "words.parquet", Path(folder) / "vectors.safetensors"
        write_vector_files(settings(paths, **more), *files, Provenance("word_vectors"))
        return read_word_vectors(*files)


def pairs(vectors: WordVectors) -> list[tuple[str, str]]:
    return list(zip(vectors.languages.to_list(), vectors.words.to_list(), strict=True))


def random_vectors(rows: int, dim: int = 3) -> Floats:
    return np.random.default_rng(7).standard_normal((rows, dim)).astype(np.float32)


def text_of(keys: Sequence[str], vectors: Floats, *, header: bool = True, end: str = "\n") -> bytes:
    lines = [f"{len(keys)} {vectors.shape[1]}"] if header else []
    lines += [f"{key} {' '.join(str(value) for value in row)}" for key, row in zip(keys, vectors, strict=True)]
    return "".join(line + end for line in lines).encode()


def binary_of(keys: Sequence[str], vectors: Floats, *, newline: bytes = b"") -> bytes:
    rows = (key.encode() + b" " + row.astype("<f4").tobytes() + newline for key, row in zip(keys, vectors, strict=True))
    return f"{len(keys)} {vectors.shape[1]}\n".encode() + b"".join(rows)


def error_of(paths: Any, **more: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(paths, **more)
    return str(caught.value)


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


def test_a_file_per_language_keeps_its_words_as_they_are(tmp_path: Path) -> None:
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


def test_no_word_in_the_languages(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_bytes(text_of(KEYS, random_vectors(len(KEYS))))
    assert "no word is left in the languages jpn" in error_of(tmp_path / "a.vec", languages=["jpn"])
    assert "no word is left in the languages jpn" in error_of({"tur_Latn": tmp_path / "a.vec"}, languages=["jpn_Jpan"])


@examples(deadline=None)
@given(keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=9))
def test_the_last_of_duplicate_keys_wins(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    path = tmp_path_factory.mktemp("vectors") / "a.vec"
    vectors = random_vectors(len(keys))
    path.write_bytes(text_of(keys, vectors))
    last = sorted({key: row for row, key in enumerate(keys)}.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lexigraft.word_vectors.stream._BLOCK_ROWS", 2)
        for found in (read(path), written(path)):
            assert found.words.to_list() == [keys[row] for row in last]
            np.testing.assert_array_equal(found.vectors, vectors[last])


def test_duplicates_are_counted_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.vec").write_bytes(text_of(["x", "eng:x", "x"], random_vectors(3)))
    with caplog.at_level(logging.INFO):
        assert len(read(tmp_path / "a.vec")) == 1
    assert "2 keys occur again later in the files: the last one wins" in caplog.text


def test_empty_words_are_left_out(tmp_path: Path) -> None:
    vectors = random_vectors(4)
    (tmp_path / "a.vec").write_bytes(text_of(["$", "", "tur:$$", "x"], vectors))
    found = read(tmp_path / "a.vec")
    assert pairs(found) == [("eng", "x")]
    np.testing.assert_array_equal(found.vectors, vectors[3:])


# --------------------------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity"])
def test_nan_names_word_and_file(tmp_path: Path, value: str) -> None:
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


def test_nan_in_a_language_that_is_not_read_does_not_matter(tmp_path: Path) -> None:
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
def test_two_widths_name_the_line_and_both(
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
        (b"1 2\na 1 2\nb 1 2\n", "promises 1 words, the file goes on"),
        (b"", "is empty"),
        (b"\x80\x04\x95gensim", "the pickle cannot be followed|nothing of it was run"),
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


def test_text_that_is_said_to_be_text_but_holds_no_vector(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("word\n")
    assert "the first line holds no vector" in error_of(tmp_path / "a.vec", format="word2vec_text")


@pytest.mark.parametrize("block", [16, 1 << 23])
@pytest.mark.parametrize("kept", [0, 1, 4])
def test_truncated_binary_says_how_many_words_it_holds(
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
    assert "goes on after them" in error_of(path)
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
