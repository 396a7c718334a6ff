"""What the words say of the tokens on both sides, and which tokens are copied (docs/methods.md, sections 4 and 12)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.errors import InputError
from lexigraft.initializers.base import Floats, Integers, View
from lexigraft.initializers.parts.contained import contained_words
from lexigraft.initializers.parts.evidence import weighed, word_evidence
from lexigraft.initializers.parts.overlap import overlap
from lexigraft.initializers.parts.rows import normalized, token_vectors

if TYPE_CHECKING:
    from lexigraft.initializers.with_words import WordInitializer


@dataclass(frozen=True)
class Evidence:
    """What the words say of the tokens of both vocabularies, under a method's options. Made when first asked for.

    Attributes:
        view: what the method is given.
        method: whose options count.
    """

    view: View
    method: WordInitializer

    @cached_property
    def source_weights(self) -> csr_matrix:
        """(V_s, words) weights of the matched words in each source token's vector.

        Raises:
            InputError: no source token has a word in a language that counts.
        """
        view, method = self.view, self.method
        languages = view.source_languages if method.source_word_languages else None
        weights = word_evidence(
            view.source_matches,
            view.source.surfaces,
            view.vectors,
            weighted=method.word_weights,
            unit=method.unit_words,
            languages=languages,
        )
        if not weights.nnz:
            wanted = f" of the source's languages ({', '.join(languages)})" if languages is not None else ""
            raise InputError(
                f"no source token matches a word{wanted}",
                where="word vectors",
                hint="take word vectors with words of the source model's languages, or set `source_word_languages: false`",
            )
        return weights

    @cached_property
    def target_weights(self) -> csr_matrix:
        """(V_t, words) weights of the words in each target token's vector."""
        view, method = self.view, self.method
        matched = word_evidence(
            view.target_matches, view.target.surfaces, view.vectors, weighted=method.word_weights, unit=method.unit_words
        )
        if not method.contained_words:
            return matched
        # no token has words in both
        contained = weighed(self.contained, view.vectors, weighted=method.word_weights, unit=method.unit_words)
        return csr_matrix(matched + contained)

    @property
    def contained(self) -> csr_matrix:
        """(V_t, words) shares of the words that the surfaces of new text tokens without a match hold."""
        view = self.view
        unmatched = np.diff(view.target_matches.indptr) == 0
        tokens = np.flatnonzero(unmatched & view.target.is_text & (self.shared < 0))
        return contained_words(view.target.surfaces, tokens, view.vectors)

    @cached_property
    def shared(self) -> Integers:
        """(V_t,) the source token with the same string or role, -1 for none."""
        return overlap(self.view.source, self.view.target)

    @property
    def target_matched(self) -> NDArray[np.bool_]:
        """(V_t,) which target tokens have a word."""
        return np.asarray(np.diff(self.target_weights.indptr) > 0)

    @property
    def source_matched(self) -> NDArray[np.bool_]:
        """(V_s,) which source tokens have a word."""
        return np.asarray(np.diff(self.source_weights.indptr) > 0)

    @cached_property
    def source_vectors(self) -> Floats:
        """(V_s, dim) vectors of the source tokens, zero without a word."""
        return token_vectors(self.source_weights, self.view.vectors.vectors)[0]

    @cached_property
    def target_vectors(self) -> Floats:
        """(V_t, dim) vectors of the target tokens, zero without a word."""
        return token_vectors(self.target_weights, self.view.vectors.vectors)[0]

    @cached_property
    def copies(self) -> Integers:
        """(V_t,) the source token that each target token is copied from, -1 for none.

        With `verify_copies` false friends are left out, whose vectors in the source and target languages disagree. A token
        without a vector on either side cannot be checked and is copied; with `copies_need_words` only if the target has no
        words of it either (digits, punctuation, special tokens).
        """
        shared, least = self.shared.copy(), self.method.verify_copies
        if self.method.copies_need_words:
            shared[(shared >= 0) & self.target_matched & ~self.source_matched[shared]] = -1
        if least is None:
            return shared
        checked = np.flatnonzero((shared >= 0) & self.target_matched & self.source_matched[shared])
        theirs, ours = normalized(self.source_vectors[shared[checked]]), normalized(self.target_vectors[checked])
        cosine = np.einsum("nd,nd->n", theirs, ours)
        shared[checked[cosine < least]] = -1
        return shared
