"""What the words say of the tokens on both sides, and which tokens are copied (docs/methods.md, sections 4 and 12)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.errors import InputError
from lexigraft.evidence.base import TokenPair
from lexigraft.evidence.word_matches import WordMatches
from lexigraft.initializers.parts.overlap import overlap
from lexigraft.token_maps.token_map import Floats, Integers
from lexigraft.word_vectors.similarity import mean_vectors, normalized
from lexigraft.word_vectors.table import WordVectors
from lexigraft.word_vectors.word_weights import weighed, word_weights
from lexigraft.word_vectors.words import spaced_words, unspaced_words


class WordOptions(Protocol):
    """Options of a method, see `word_method.WordMethod`."""

    @property
    def source_word_languages(self) -> bool: ...

    @property
    def word_weights(self) -> bool: ...

    @property
    def unit_words(self) -> bool: ...

    @property
    def verify_copies(self) -> float | None: ...

    @property
    def copies_need_words(self) -> bool: ...

    @property
    def contained_words(self) -> bool: ...


@dataclass(frozen=True)
class TokenVectors:
    """Words and vectors of the tokens of both vocabularies, under a method's options. Made when first asked for.

    Attributes:
        tokens: both vocabularies.
        words: which words matched them.
        options: of the method.
    """

    tokens: TokenPair
    words: WordMatches
    options: WordOptions

    @cached_property
    def source_weights(self) -> csr_matrix:
        """(V_s, words) weights of the matched words in each source token's vector.

        Raises:
            InputError: no source token has a word in a language that counts.
        """
        languages = self.tokens.source_languages if self.options.source_word_languages else None
        weights = word_weights(
            self.words.source,
            self.tokens.source.surfaces,
            self.words.vectors,
            weighted=self.options.word_weights,
            unit=self.options.unit_words,
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
        weighted, unit = self.options.word_weights, self.options.unit_words
        matched = word_weights(self.words.target, self.tokens.target.surfaces, self.words.vectors, weighted=weighted, unit=unit)
        if not self.options.contained_words:
            return matched
        # no token has words in both
        return csr_matrix(matched + weighed(self.contained, self.words.vectors, weighted=weighted, unit=unit))

    @property
    def contained(self) -> csr_matrix:
        """(V_t, words) shares of the words that the surfaces of new text tokens without a match hold."""
        target = self.tokens.target
        unmatched = np.diff(self.words.target.indptr) == 0
        new = np.flatnonzero(unmatched & target.is_text & (self.shared < 0))
        return contained_words(target.surfaces, new, self.words.vectors)

    @cached_property
    def shared(self) -> Integers:
        """(V_t,) the source token with the same string or role, -1 for none."""
        return overlap(self.tokens.source, self.tokens.target)

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
        return mean_vectors(self.source_weights, self.words.vectors.vectors)[0]

    @cached_property
    def target_vectors(self) -> Floats:
        """(V_t, dim) vectors of the target tokens, zero without a word."""
        return mean_vectors(self.target_weights, self.words.vectors.vectors)[0]

    @cached_property
    def copies(self) -> Integers:
        """(V_t,) the source token that each target token is copied from, -1 for none.

        With `verify_copies` false friends are left out, whose vectors in the source and target languages disagree. A token
        without a vector on either side cannot be checked and is copied; with `copies_need_words` only if the target has no
        words of it either (digits, punctuation, special tokens).
        """
        shared, least = self.shared.copy(), self.options.verify_copies
        if self.options.copies_need_words:
            shared[(shared >= 0) & self.target_matched & ~self.source_matched[shared]] = -1
        if least is None:
            return shared
        checked = np.flatnonzero((shared >= 0) & self.target_matched & self.source_matched[shared])
        theirs, ours = normalized(self.source_vectors[shared[checked]]), normalized(self.target_vectors[checked])
        cosine = np.einsum("nd,nd->n", theirs, ours)
        shared[checked[cosine < least]] = -1
        return shared


def contained_words(surfaces: tuple[str, ...], tokens: Integers, vectors: WordVectors) -> csr_matrix:
    """Shares (V, words), float32, of the words in the surfaces of some tokens, len(word) / len(token) (docs/methods.md, 12).

    A word is segmented by itself, so pieces that occur only inside of running text match no word: in scripts without spaces,
    most of them. Such a token still has the words that its own surface holds.

    Words of a surface are what word vectors are learned of, whatever its script: runs of letters and digits, and of these every
    character and every two neighbors. Case does not count.

    Args:
        surfaces: standardized strings of the V tokens.
        tokens: ids of the tokens whose surfaces are searched; the rows of all others are empty.
        vectors: the words to find, in any language.
    """
    text = pl.DataFrame(
        {"token": tokens, "text": [surfaces[token].strip().lower() for token in tokens]},
        schema={"token": pl.Int64, "text": pl.String},
    ).with_columns(length=pl.col("text").str.len_chars())
    found = pl.concat([spaced_words(text), unspaced_words(text)]).unique(maintain_order=True)
    known = pl.DataFrame({"word": vectors.words.str.strip_chars(" ").str.to_lowercase()}).with_row_index("column")
    hits = found.join(known, on="word", maintain_order="left")
    shares = (hits["word"].str.len_chars() / hits["length"]).to_numpy().astype(np.float32)
    places = hits["token"].to_numpy(), hits["column"].to_numpy()
    return csr_matrix((shares, places), shape=(len(surfaces), len(vectors)))
