"""A small view for initializers: two vocabularies that share some tokens, matched with words of two languages."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from lexigraft.initializers.base import View
from lexigraft.tokenizers.vocabulary import Vocabulary
from lexigraft.word_vectors.table import WordVectors

RANK, DIM, WORDS, SOURCE, TARGET = 5, 8, 150, 60, 80


def vocabulary(surfaces: list[str], roles: dict[int, str]) -> Vocabulary:
    """Tokens that are their surfaces, some with roles."""
    marks = tuple(roles.get(index) for index in range(len(surfaces)))
    return Vocabulary(tuple(surfaces), tuple(surfaces), marks, np.zeros(len(surfaces), np.int64))


def known(matches: csr_matrix) -> np.ndarray:
    """Which tokens have a word."""
    return np.diff(matches.indptr) > 0


def small_view() -> View:
    """Every third target token is shared; the first six tokens of each side have no words."""
    rng = np.random.default_rng(3)

    def matches(tokens: int) -> csr_matrix:
        # dense enough that no two tokens have the same words: ties would be ambiguous
        dense = rng.integers(1, 4, (tokens, WORDS)) * (rng.random((tokens, WORDS)) < 0.1)
        dense[:6] = 0
        return csr_matrix(dense.astype(np.float32))

    return View(
        coordinates=rng.standard_normal((SOURCE, RANK)).astype(np.float32),
        singular_values=np.linspace(9, 1, RANK).astype(np.float32),
        source=vocabulary(["<s>", "</s>", "<pad>", *(f" s{i}" for i in range(3, SOURCE))], {0: "bos", 1: "eos", 2: "pad"}),
        target=vocabulary(
            ["<pad>", "[CLS]", "[SEP]", *(f" s{i}" if i % 3 == 0 else f" t{i}" for i in range(3, TARGET))],
            {0: "pad", 1: "bos", 2: "eos"},
        ),
        source_matches=matches(SOURCE),
        target_matches=matches(TARGET),
        vectors=WordVectors(
            pl.Series(["eng_Latn" if i % 2 == 0 else "tur_Latn" for i in range(WORDS)]),
            pl.Series([f"word{i}" * (1 + i % 3) for i in range(WORDS)]),
            rng.integers(1, 50, WORDS).astype(np.int64),
            rng.standard_normal((WORDS, DIM)).astype(np.float32),
        ),
        source_languages=("eng_Latn",),
        seed=5,
    )
