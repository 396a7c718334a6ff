"""gensim's files, written by gensim itself, read without it: the same words and vectors; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim import models
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.word_vectors.formats import open_vectors
from lexigraft.word_vectors.keyed_vectors import GensimVectors

Floats = NDArray[np.float32]
KEYS = ["water", "tur:$su", "otq:$ndöhi$", "日本", "x" * 300, "\u200d", *(f"w{number}" for number in range(3000))]


def vectors_of(keys: list[str], dim: int = 7) -> Floats:
    return np.random.default_rng(len(keys)).standard_normal((len(keys), dim)).astype(np.float32)


def keyed(keys: list[str], vectors: NDArray[Any]) -> Any:
    saved = models.KeyedVectors(vectors.shape[1], dtype=vectors.dtype)
    saved.add_vectors(keys, vectors)
    return saved


def contents(path: Path) -> tuple[list[str], Floats]:
    file = open_vectors(path, "auto")
    assert isinstance(file, GensimVectors)
    blocks = list(file.blocks())
    vectors = np.concatenate([block for _, block in blocks])
    assert vectors.dtype == np.float32
    assert vectors.shape == (file.rows, file.dim)
    return [key for table, _ in blocks for key in table["key"]], vectors


def check_same(path: Path, keys: list[str], vectors: NDArray[Any]) -> None:
    theirs = models.KeyedVectors.load(str(path))
    assert theirs.index_to_key == keys
    np.testing.assert_array_equal(theirs.vectors, vectors)
    ours = contents(path)
    assert ours[0] == keys
    np.testing.assert_array_equal(ours[1], np.asarray(vectors, dtype=np.float32))


def error_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        contents(path)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("aside", [True, False])
@pytest.mark.parametrize("rows", [1000, 1 << 16])
def test_keyed_vectors_of_every_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, aside: bool, rows: int
) -> None:
    monkeypatch.setattr("lexigraft.word_vectors.keyed_vectors._BLOCK_ROWS", rows)
    vectors, path = vectors_of(KEYS), tmp_path / "a.wv"
    keyed(KEYS, vectors).save(str(path), sep_limit=1 if aside else 10**9, pickle_protocol=protocol)
    assert (tmp_path / "a.wv.vectors.npy").exists() == aside
    check_same(path, KEYS, vectors)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.parametrize("aside", [True, False])
def test_other_float_types(tmp_path: Path, dtype: str, aside: bool) -> None:
    vectors, path = vectors_of(KEYS[:9]).astype(dtype), tmp_path / "a.wv"
    saved = keyed(KEYS[:9], vectors_of(KEYS[:9]))
    saved.vectors = vectors
    saved.save(str(path), sep_limit=1 if aside else 10**9)
    check_same(path, KEYS[:9], vectors)


def test_fortran_order(tmp_path: Path) -> None:
    vectors, path = vectors_of(KEYS), tmp_path / "a.wv"
    for aside in (True, False):
        saved = keyed(KEYS, vectors)
        saved.vectors = np.asfortranarray(vectors)
        saved.save(str(path), sep_limit=1 if aside else 10**9)
        check_same(path, KEYS, vectors)


def test_attributes_and_norms_are_ignored(tmp_path: Path) -> None:
    vectors, path = vectors_of(KEYS), tmp_path / "a.wv"
    saved = keyed(KEYS, vectors)
    saved.set_vecattr("water", "count", 12)
    saved.fill_norms()
    saved.vectors_lockf = np.ones(len(KEYS), dtype=np.float32)
    for protocol in (2, 5):
        for limit in (1, 10**9):
            saved.save(str(path), sep_limit=limit, pickle_protocol=protocol)
            check_same(path, KEYS, vectors)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("names", [("index2word", "vectors"), ("index2entity", "vectors"), ("index2word", "syn0")])
@pytest.mark.parametrize("aside", [True, False])
def test_gensim_3_attributes(tmp_path: Path, protocol: int, names: tuple[str, str], aside: bool) -> None:
    from gensim.models.keyedvectors import Vocab, Word2VecKeyedVectors

    vectors, path = vectors_of(KEYS), tmp_path / "a.wv"
    saved = Word2VecKeyedVectors.__new__(Word2VecKeyedVectors)
    saved.__dict__.update(
        {
            names[0]: KEYS,
            names[1]: vectors,
            "vocab": {key: Vocab(count=len(KEYS) - index, index=index) for index, key in enumerate(KEYS)},
            "vector_size": vectors.shape[1],
            "vectors_norm": None,
        }
    )
    # the writer below is the one of gensim 3 as well; that of gensim 4 notes the event in an attribute of its own
    saved.lifecycle_events = None
    saved.save(str(path), sep_limit=1 if aside else 10**9, pickle_protocol=protocol)
    check_same(path, KEYS, vectors)


def test_python_2_file(tmp_path: Path) -> None:
    """Put together by hand: names and bytes were written as strings of bytes there, and the memo began at 1."""
    vectors = vectors_of(["é", "b"], 3)
    (tmp_path / "a.wv").write_bytes(
        b"\x80\x02cgensim.models.keyedvectors\nKeyedVectors\nq\x01)\x81q\x02}q\x03("
        + b"U\nindex2wordq\x04]q\x05(X\x02\x00\x00\x00\xc3\xa9U\x01be"
        + b"U\x04syn0q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89U\x18"
        + vectors.tobytes()
        + b"tbub."
    )
    keys, found = contents(tmp_path / "a.wv")
    assert keys == ["é", "b"]
    np.testing.assert_array_equal(found, vectors)


# --------------------------------------------------------------------------------------------------------- what is refused


def test_whole_models_are_refused_with_a_hint_that_works(tmp_path: Path) -> None:
    sentences = [["water", "su", "вода"], ["fire", "ateş", "огонь"]] * 3
    model = models.Word2Vec(sentences, vector_size=4, min_count=1, workers=1)
    model.save(str(tmp_path / "w.model"))
    message = error_of(tmp_path / "w.model")
    assert "gensim.models.word2vec.Word2Vec" in message
    assert "`model.wv.save(path)`" in message
    # and that way works
    model.wv.save(str(tmp_path / "w.wv"))
    check_same(tmp_path / "w.wv", model.wv.index_to_key, model.wv.vectors)
    models.FastText(sentences, vector_size=4, min_count=1, workers=1, bucket=50).wv.save(str(tmp_path / "f.wv"))
    assert "FastTextKeyedVectors" in error_of(tmp_path / "f.wv")


def test_missing_or_wrong_npy_file(tmp_path: Path) -> None:
    vectors, path, side = vectors_of(KEYS), tmp_path / "a.wv", tmp_path / "a.wv.vectors.npy"
    keyed(KEYS, vectors).save(str(path), sep_limit=1)
    whole = side.read_bytes()
    side.unlink()
    assert "file 'a.wv.vectors.npy' does not exist" in error_of(path)
    np.save(side, vectors[:-1])
    message = error_of(path)
    assert "3006 words, but vectors of the shape 3005 x 7" in message
    assert "a.wv.vectors.npy" in message
    np.save(side, vectors.astype(np.int32))
    assert "vectors of type int32 are not read" in error_of(path)
    np.save(side, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "the vectors cannot be read" in error_of(path)
    for wrong in (whole[:-5], whole[:20], b"", b"PK\x03\x04", whole.replace(b"(3006, 7)", b"(9999999999999, 7)")):
        side.write_bytes(wrong)
        assert "the vectors cannot be read" in error_of(path)


def test_words_must_be_text(tmp_path: Path) -> None:
    path = tmp_path / "a.wv"
    for keys in ([1, 2], ["a", None]):
        saved = keyed(["a", "b"], vectors_of(["a", "b"]))
        saved.index_to_key = keys
        saved.save(str(path))
        assert "one is no text but a" in error_of(path)


def test_gzipped_files_of_gensim(tmp_path: Path) -> None:
    keyed(KEYS, vectors_of(KEYS)).save(str(tmp_path / "a.wv.gz"), sep_limit=10**9)
    assert "unpack it with gunzip" in error_of(tmp_path / "a.wv.gz")
