"""A small case for methods: two vocabularies that share some tokens, matched with words of two languages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from lexigraft.evidence.base import EvidenceSet, TokenPair
from lexigraft.evidence.word_matches import WordMatches
from lexigraft.factors.tables import EmbeddingTable
from lexigraft.hypernetwork.evidence import Network, Predictor
from lexigraft.initialization.rows import target_rows
from lexigraft.initialization.token_map import checked_map
from lexigraft.initializers.parts.base import Initializer
from lexigraft.initializers.parts.token_vectors import TokenVectors
from lexigraft.token_maps.token_map import TokenMap
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


@dataclass(frozen=True)
class Case:
    """What a method is given."""

    tokens: TokenPair
    words: WordMatches
    table: EmbeddingTable
    seed: int = 5
    predict: Predictor | None = None

    @property
    def evidence(self) -> EvidenceSet:
        return EvidenceSet([self.words, *([Network(self.predict)] if self.predict is not None else [])])

    def with_tokens(self, **changes: Any) -> Case:
        return replace(self, tokens=replace(self.tokens, **changes))

    def with_words(self, **changes: Any) -> Case:
        return replace(self, words=replace(self.words, **changes))

    def vectors(self, method: Any) -> TokenVectors:
        return TokenVectors(self.tokens, self.words, method)


@dataclass(frozen=True)
class Made:
    """What a method makes of a case."""

    map: TokenMap
    rows: np.ndarray

    @property
    def origin(self) -> np.ndarray:
        return self.map.origin

    @property
    def copies(self) -> np.ndarray:
        return self.map.copies


def made(method: Initializer, case: Case) -> Made:
    """Run a method as the stages do."""
    found = checked_map(method, case.tokens, case.evidence, case.seed)
    added = method.rows(case.table, case.tokens, case.evidence, case.seed)
    return Made(found, target_rows(found, case.table.rows, added, case.seed))


def small_case() -> Case:
    """Every third target token is shared; the first six tokens of each side have no words."""
    rng = np.random.default_rng(3)

    def matches(tokens: int) -> csr_matrix:
        # dense enough that no two tokens have the same words: ties would be ambiguous
        dense = rng.integers(1, 4, (tokens, WORDS)) * (rng.random((tokens, WORDS)) < 0.1)
        dense[:6] = 0
        return csr_matrix(dense.astype(np.float32))

    coordinates = rng.standard_normal((SOURCE, RANK)).astype(np.float32)
    source = vocabulary(["<s>", "</s>", "<pad>", *(f" s{i}" for i in range(3, SOURCE))], {0: "bos", 1: "eos", 2: "pad"})
    target = vocabulary(
        ["<pad>", "[CLS]", "[SEP]", *(f" s{i}" if i % 3 == 0 else f" t{i}" for i in range(3, TARGET))],
        {0: "pad", 1: "bos", 2: "eos"},
    )
    words = WordMatches(
        matches(SOURCE),
        matches(TARGET),
        WordVectors(
            pl.Series(["eng_Latn" if i % 2 == 0 else "tur_Latn" for i in range(WORDS)]),
            pl.Series([f"word{i}" * (1 + i % 3) for i in range(WORDS)]),
            rng.integers(1, 50, WORDS).astype(np.int64),
            rng.standard_normal((WORDS, DIM)).astype(np.float32),
        ),
    )
    return Case(TokenPair(source, target, ("eng_Latn",)), words, EmbeddingTable(coordinates, np.ones(RANK, np.float32)))
