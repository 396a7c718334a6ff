"""What methods share that copy shared tokens and look at matched words: options, and the order of things."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lexigraft.evidence.base import Evidence, EvidenceSet, TokenPair
from lexigraft.evidence.word_matches import WordMatches
from lexigraft.initializers.parts.base import Initializer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from lexigraft.initializers.parts.token_vectors import TokenVectors
    from lexigraft.token_maps.token_map import Integers, TokenMap


class WordMethod(Initializer):
    """A method that copies shared tokens and may look at matched words, with the options that any such method can use.

    All of them are off by default, as in the published methods (docs/methods.md, section 12).
    """

    computes_rows: ClassVar[bool] = True
    source_word_languages: bool = False
    """Source tokens are matched with words of the source model's own languages only: others are label noise."""
    word_weights: bool = False
    """Words weigh min(1, len(token) / len(word)) * sqrt(sentences with the word) in a token's vector, not their count."""
    unit_words: bool = False
    """Word vectors count with unit length in a token's vector: long ones, of frequent words, would outweigh the others."""
    verify_copies: float | None = Field(default=None, ge=-1, le=1)
    """Copy a shared token only if the cosine of its source and target vectors reaches this; None copies all."""
    copies_need_words: bool = False
    """A shared token with words in the target is copied only if its source token has words (that count) as well."""
    contained_words: bool = False
    """New tokens that match no word get the words that their own surface holds: most pieces inside unspaced text."""
    predict_copied: bool = False
    """Every token with word vectors gets a row that the method computes, shared tokens included."""
    fallback: Literal["random", "mean"] = "random"
    """Rows of tokens without word vectors: random, or the mean of the source rows."""

    @model_validator(mode="after")
    def _options_do_something(self) -> Self:
        if self.computes_rows:
            return self
        for name in ("predict_copied", "contained_words"):
            if getattr(self, name):
                raise ValueError(f"`{name}` does nothing here: this method computes no rows from word vectors")
        idle = [name for name in ("source_word_languages", "word_weights", "unit_words") if getattr(self, name)]
        if self.copies_need_words and idle == ["source_word_languages"]:
            return self  # the words that count are looked for
        if idle and self.verify_copies is None:
            raise ValueError(f"`{idle[0]}` does nothing here without `verify_copies`: no word is looked at")
        return self

    @property
    def needs(self) -> tuple[type[Evidence], ...]:
        """Word matches, unless the method only copies and no copy is checked."""
        looks = self.computes_rows or self.verify_copies is not None or self.copies_need_words
        return (WordMatches,) if looks else ()

    def token_map(self, tokens: TokenPair, evidence: EvidenceSet, seed: int) -> TokenMap:  # noqa: ARG002
        """Copy what is shared, compute what has words, and leave the others to the fallback."""
        from lexigraft.initializers.parts.overlap import overlap
        from lexigraft.token_maps.token_map import MEAN, RANDOM, token_map

        fallback = MEAN if self.fallback == "mean" else RANDOM
        if not self.needs:
            copies = overlap(tokens.source, tokens.target)
            return token_map(copies, len(tokens.source), fallback, copies[:0], None)
        vectors = self.vectors(tokens, evidence)
        computed = self.computed(vectors)
        return token_map(vectors.copies, len(tokens.source), fallback, computed, self.mixing(vectors, computed))

    def mixing(self, vectors: TokenVectors, computed: Integers) -> csr_matrix | None:  # noqa: ARG002
        """(len(computed), V_s) weights of the source tokens in the tokens that are computed; None of methods that predict."""
        return None

    def vectors(self, tokens: TokenPair, evidence: EvidenceSet) -> TokenVectors:
        """What the words say of the tokens under the method's options."""
        from lexigraft.initializers.parts.token_vectors import TokenVectors

        return TokenVectors(tokens, evidence[WordMatches], self)

    def computed(self, vectors: TokenVectors) -> Integers:
        """Target tokens that the method computes: those with a word; shared ones only with `predict_copied`."""
        import numpy as np

        if not self.computes_rows:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(vectors.target_matched & (self.predict_copied | (vectors.copies < 0)))
