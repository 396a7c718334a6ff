"""Which matched words count for a token, and how much (docs/methods.md, section 12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.word_vectors.table import WordVectors

Floats = NDArray[np.float32]


def word_weights(
    matches: csr_matrix,
    surfaces: tuple[str, ...],
    vectors: WordVectors,
    *,
    weighted: bool,
    unit: bool = False,
    languages: tuple[str, ...] | None = None,
) -> csr_matrix:
    """Weights (V, words) of the matched words in each token's vector.

    Args:
        matches: (V, words) counts.
        surfaces: standardized strings of the V tokens.
        vectors: the words.
        weighted: weigh a word by min(1, len(token) / len(word)) * sqrt(sentences with the word), else by its count.
        unit: divide a word's weight by the length of its vector, so that vectors count with unit length.
        languages: keep only words of these languages.

    Returns:
        the matches themselves where nothing is weighted and nothing left out.
    """
    if not weighted and not unit and languages is None:
        return matches
    shares = _length_shares(matches, surfaces, vectors) if weighted else matches.data
    weights = csr_matrix((shares, matches.indices, matches.indptr), shape=matches.shape, dtype=np.float32)
    return weighed(weights, vectors, weighted=weighted, unit=unit, languages=languages)


def weighed(
    shares: csr_matrix, vectors: WordVectors, *, weighted: bool, unit: bool, languages: tuple[str, ...] | None = None
) -> csr_matrix:
    """Shares (V, words) of words in tokens times what a word counts in any token; see `word_weights`.

    Words that count nothing are left out, among them those whose vector is zero where vectors count with unit length: they have
    no direction.
    """
    weights = csr_matrix(shares, dtype=np.float32, copy=True)
    if weighted:
        weights.data *= np.sqrt(np.maximum(vectors.sentences, 1)).astype(np.float32)[weights.indices]
    if unit:
        lengths = vectors.lengths()
        weights.data /= np.where(lengths > 0, lengths, np.float32(np.inf))[weights.indices]
    if languages is not None:
        weights.data[~vectors.of_languages(languages)[weights.indices]] = 0
    weights.eliminate_zeros()
    return weights


def _length_shares(matches: csr_matrix, surfaces: tuple[str, ...], vectors: WordVectors) -> Floats:
    """min(1, len(token) / len(word)) in characters without boundary spaces, for every stored pair; (nnz,) float32."""
    token_lengths = np.array([len(surface.strip()) for surface in surfaces], dtype=np.float32)
    word_lengths = vectors.words.str.strip_chars().str.len_chars().to_numpy().astype(np.float32)
    tokens = np.repeat(token_lengths, np.diff(matches.indptr))
    shares: Floats = np.minimum(1.0, tokens / np.maximum(word_lengths[matches.indices], 1.0))
    return shares.astype(np.float32, copy=False)
