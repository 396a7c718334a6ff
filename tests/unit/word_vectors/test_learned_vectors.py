"""Word vectors learned from aligned text, against dense numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lexigraft.artifacts import Provenance, write_table
from lexigraft.errors import InputError
from lexigraft.word_vectors.learn import learn_vectors, words_of, write_learned_vectors
from lexigraft.word_vectors.settings import LearnedVectors
from lexigraft.word_vectors.table import WordVectors, read_word_vectors


def parallel_text(sentences: int = 400, words: int = 40, seed: int = 0) -> pl.DataFrame:
    """Two made-up languages: word i of one is the translation of word i of the other."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(sentences):
        chosen = rng.choice(words, size=6, replace=False)
        rows.append(("eng_Latn", str(index), " ".join(f"a{i}x" for i in chosen)))
        rows.append(("tur_Latn", str(index), " ".join(f"b{i}y" for i in rng.permutation(chosen))))
    return pl.DataFrame(rows, schema=["language", "sentence_id", "text"], orient="row")


def test_translations_are_nearest_neighbors() -> None:
    vectors = learn_vectors(parallel_text(), dim=30, seed=1)
    words = vectors.words.to_list()
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    ours = np.array([words.index(f"a{i}x") for i in range(40)])
    theirs = np.array([words.index(f"b{i}y") for i in range(40)])
    assert (np.argmax(unit[ours] @ unit[theirs].T, axis=1) == np.arange(40)).mean() > 0.95


def test_vectors_are_the_svd_of_the_positive_pmi_matrix() -> None:
    text = parallel_text(sentences=120, words=25)
    vectors = learn_vectors(text, dim=12, seed=1)
    words = list(zip(vectors.languages, vectors.words, strict=True))
    ids = sorted(text["sentence_id"].unique())
    counts = np.zeros((len(words), len(ids)))
    for language, sentence, line in text.iter_rows():
        for word in line.split():
            counts[words.index((language, word)), ids.index(sentence)] += 1
    with np.errstate(divide="ignore"):
        pmi = np.log(counts * counts.sum() / np.outer(counts.sum(axis=1), counts.sum(axis=0)))
    left, singular, _ = np.linalg.svd(np.maximum(pmi, 0), full_matrices=False)
    expected = left[:, :12] * np.sqrt(singular[:12])
    np.testing.assert_allclose(vectors.vectors @ vectors.vectors.T, expected @ expected.T, atol=0.02 * singular[0])


def test_vectors_do_not_depend_on_threads() -> None:
    one, two, other = (learn_vectors(parallel_text(), dim=10, seed=s, threads=t) for s, t in ((1, 1), (1, 2), (2, 1)))
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert not np.array_equal(one.vectors, other.vectors)


def test_words_are_counted_and_rare_ones_dropped() -> None:
    text = parallel_text(200)
    extra = pl.DataFrame({"language": ["eng_Latn"], "sentence_id": ["0"], "text": ["once"]})
    vectors = learn_vectors(pl.concat([text, extra]), dim=10)
    assert "once" not in vectors.words.to_list()
    index = vectors.words.to_list().index("a0x")
    expected = text.filter((pl.col("language") == "eng_Latn") & pl.col("text").str.contains(r"\ba0x\b"))
    assert vectors.sentences[index] == len(expected)
    assert vectors.sentences.min() >= 2


def test_words_of_spaced_and_unspaced_scripts() -> None:
    def words(language: str, line: str) -> list[str]:
        return words_of(pl.DataFrame({"language": [language], "sentence_id": ["1"], "text": [line]}))["word"].to_list()

    assert words("fra_Latn", "L'eau, dit-il: «Non!»") == ["l'eau", "dit-il", "non"]
    assert words("hin_Deva", "परमेश्वर ने") == ["परमेश्वर", "ने"]
    assert words("cmn_Hani", "起初，神創") == ["起", "初", "神", "創", "起初", "神創"]


def test_only_some_languages_of_a_corpus(tmp_path: Path) -> None:
    text = pl.concat([parallel_text(), parallel_text(seed=1).with_columns(language=pl.col("language") + "x")])
    text = text.filter(pl.col("language") != "eng_Latnx").with_columns(pl.col("language").replace("tur_Latnx", "deu_Latn"))
    write_table(tmp_path / "sentences.parquet", text, Provenance("corpus"))
    paths = tmp_path / "words.parquet", tmp_path / "vectors.safetensors"

    def learned(languages: list[str]) -> WordVectors:
        settings = LearnedVectors(kind="learned", corpus="c", dim=10, languages=languages)
        write_learned_vectors(
            settings, tmp_path / "sentences.parquet", *paths, seed=1, threads=1, provenance=Provenance("word_vectors")
        )
        return read_word_vectors(*paths)

    found = learned(["eng", "tur_Latn"])
    expected = learn_vectors(text.filter(pl.col("language") != "deu_Latn"), dim=10, seed=1)
    assert found.words.to_list() == expected.words.to_list()
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert set(learned(["eng_Latn", "deu"]).languages) == {"eng_Latn", "deu_Latn"}
    with pytest.raises(InputError, match="no text in 'kor_Hang'") as error:
        learned(["eng_Latn", "kor_Hang"])
    assert "it has eng_Latn, tur_Latn, deu_Latn" in str(error.value)


def test_errors_name_bad_input() -> None:
    with pytest.raises(InputError, match="too few for vectors of width 200"):
        learn_vectors(parallel_text(50), dim=200)
    unaligned = parallel_text().with_row_index("row").with_columns(sentence_id=pl.col("row").cast(pl.String)).drop("row")
    with pytest.raises(InputError, match="aligned"):
        learn_vectors(unaligned, dim=10)


def test_the_power_of_the_singular_values_scales_the_dimensions() -> None:
    half, whole, none = (learn_vectors(parallel_text(), dim=10, singular_power=p, seed=1).vectors for p in (0.5, 1.0, 0.0))
    singular = np.linalg.norm(whole, axis=0)
    np.testing.assert_allclose(half * np.sqrt(singular), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(none.T @ none, np.eye(10), atol=1e-4)
