"""What all methods share that copy shared tokens and look at matched words: options, and the order of things.

It is apart from `base`, which hypernetworks import: their training does not depend on what is copied.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lexigraft.initializers.base import Initialization, Initializer, Integers, View

if TYPE_CHECKING:
    from lexigraft.initializers.parts.gathered import Evidence


class WordInitializer(Initializer):
    """A method that copies shared tokens and may look at matched words, with the options that any such method can use.

    All of them are off by default, as in the published methods (docs/methods.md, section 12).
    """

    computes_rows: ClassVar[bool] = True
    source_word_languages: bool = False
    """Source tokens are matched with words of the source model's own languages only: others are label noise."""
    word_weights: bool = False
    """Words weigh min(1, len(token) / len(word)) * sqrt(sentences with the word) in a token's vector, not their count."""
    unit_words: bool = False
    """Word vectors count with unit length in a token's vector: else long ones, of frequent words, drown the others."""
    verify_copies: float | None = Field(default=None, ge=-1, le=1)
    """Copy a shared token only if the cosine of its source and target vectors reaches this; None copies all."""
    copies_need_words: bool = False
    """A shared token with words in the target is copied only if its source token has words (that count) as well."""
    contained_words: bool = False
    """New tokens that match no word get the words that their own surface holds: most pieces inside of unspaced text."""
    predict_copied: bool = False
    """Every token with word vectors gets a row that the method computes, shared tokens included."""
    fallback: Literal["random", "mean"] = "random"
    """Rows of tokens without word vectors: random, or the mean of F."""

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

    def initialize(self, view: View) -> Initialization:
        """Copy what is shared, fall back for the others, then let the method compute its rows (`fill`)."""
        from lexigraft.initializers.parts.gathered import Evidence
        from lexigraft.initializers.parts.rows import start

        evidence = Evidence(view, self)
        result = start(view, evidence.copies, self.fallback)
        self.fill(view, evidence, result)
        return result

    @abstractmethod
    def fill(self, view: View, evidence: Evidence, result: Initialization) -> None:
        """Put the rows that the method computes into `result`, which holds copies and fallbacks."""

    def computed(self, evidence: Evidence, result: Initialization) -> Integers:
        """Target tokens whose rows the method computes: those with a word; copies only with `predict_copied`."""
        return np.flatnonzero(evidence.target_matched & (self.predict_copied | (result.source_ids < 0)))
