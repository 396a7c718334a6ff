"""Which matched words count for a token, and how much (docs/methods.md, section 12)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from lexigraft.initializers.base import Floats
from lexigraft.word_vectors.table import WordVectors


def word_evidence(
    matches: csr_matrix,
    surfaces: tuple[str, ...],
    vectors: WordVectors,
    *,
    weighted: bool,
    languages: tuple[str, ...] | None = None,
) -> csr_matrix:
    """Weights (V, words) of the matched words in each token's vector.

    Args:
        matches: (V, words) counts.
        surfaces: standardised strings of the V tokens.
        vectors: the words.
        weighted: weigh a word by min(1, len(token) / len(word)) * sqrt(sentences with the word), else by its count.
        languages: keep only words of these languages.
    """
    weights = csr_matrix(matches, copy=True)
    if weighted:
        weights.data = length_share(weights, surfaces, vectors.words.to_list())
        weights = weights @ diags_array(np.sqrt(np.maximum(vectors.sentences, 1)).astype(np.float32))
    if languages is not None:
        weights = weights @ diags_array(vectors.of_languages(languages).astype(np.float32))
    weights = csr_matrix(weights)
    weights.eliminate_zeros()
    return weights


def length_share(matches: csr_matrix, surfaces: tuple[str, ...], words: list[str]) -> Floats:
    """min(1, len(token) / len(word)) in characters without boundary spaces, for every stored pair; (nnz,) float32."""
    token_lengths = np.array([len(surface.strip()) for surface in surfaces], dtype=np.float32)
    word_lengths = np.array([len(word.strip()) for word in words], dtype=np.float32)
    tokens = np.repeat(token_lengths, np.diff(matches.indptr))
    return np.asarray(np.minimum(1.0, tokens / np.maximum(word_lengths[matches.indices], 1.0)), dtype=np.float32)
