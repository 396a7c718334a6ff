"""Masked language modeling with dynamic masking (BERT, Devlin et al. 2019, section 3.1, https://aclanthology.org/N19-1423)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexigraft.errors import InputError
from lexigraft.pretraining.objectives.base import Batch, Integers, MakeBatch, Objective, Tokens

if TYPE_CHECKING:
    from lexigraft.tokenizers.vocabulary import Vocabulary

_MASKED, _REPLACED = 0.8, 0.1
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # kana and Han
)
"""Characters of scripts that put no spaces between words, as in `languages.UNSPACED_SCRIPTS`."""


class MaskedLanguageModeling(Objective):
    """Prediction of tokens that are hidden from the model."""

    name: ClassVar[str] = "mlm"
    title: ClassVar[str] = "Masked language modeling"
    model_kind: ClassVar[Literal["masked", "causal"]] = "masked"

    mask_probability: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    whole_words: bool = False
    """Mask all tokens of a word together."""

    def check(self, length: int, vocabulary: Vocabulary, where: object = None) -> None:  # noqa: ARG002
        """Raise InputError as `masking_rule` does."""
        masking_rule(vocabulary, where, whole_words=self.whole_words)

    def batches(self, vocabulary: Vocabulary) -> MakeBatch:
        """Batches with tokens masked at random."""
        rule = masking_rule(vocabulary, whole_words=self.whole_words)
        return lambda tokens, rng: mask_tokens(tokens, rule, self.mask_probability, rng)

    def card_row(self) -> str:
        """What is masked."""
        words = "whole words" if self.whole_words else "the tokens"
        return f"| masked | {self.mask_probability:.0%} of {words}: 80 % mask token, 10 % random token, 10 % unchanged |"


@dataclass(frozen=True, slots=True)
class MaskingRule:
    """Which tokens may be masked and what replaces them.

    Attributes:
        is_text: (V,) bool, tokens that may be masked: all without a special role.
        text_ids: ids of these tokens, from which random replacements are drawn.
        mask_id: the mask token.
        begins_word: (V,) bool, text tokens at which a word begins; None masks tokens independently of each other.
    """

    is_text: NDArray[np.bool_]
    text_ids: Integers
    mask_id: int
    begins_word: NDArray[np.bool_] | None = None


def masking_rule(vocabulary: Vocabulary, where: object = None, *, whole_words: bool = False) -> MaskingRule:
    """Read from a vocabulary's roles what may be masked and, for whole words, from its surfaces where words begin.

    A word begins at a token with a space before it, and at every token in a script without spaces, where a sentence would be
    one word otherwise.

    Raises:
        InputError: no token has the role `mask`, none stands for text, or no surface begins a word.
    """
    if "mask" not in vocabulary.roles:
        raise InputError(
            "the tokenizer has no mask token, which masked language modeling needs",
            where=where,
            hint="take a tokenizer whose vocabulary has a token of the role 'mask'",
        )
    is_text = vocabulary.is_text
    if not is_text.any():
        raise InputError(
            "all tokens of the tokenizer are special: none can be masked", where=where, hint="take another tokenizer"
        )
    begins = None
    if whole_words:
        begins = is_text & [surface.startswith(" ") or bool(_UNSPACED.search(surface)) for surface in vocabulary.surfaces]
    if begins is not None and not begins.any():
        raise InputError("no token begins a word, so whole words cannot be found", where=where, hint="set `whole_words: false`")
    return MaskingRule(is_text, np.flatnonzero(is_text).astype(np.int64), vocabulary.roles.index("mask"), begins)


def mask_tokens(tokens: Tokens, rule: MaskingRule, probability: float, rng: np.random.Generator) -> Batch:
    """Choose each text token with `probability`; of these, 80 % become the mask token, 10 % a random text token, 10 % stay.

    With whole words, words are chosen with `probability`, each with all of its tokens; what becomes of each token is drawn
    independently, as in BERT's whole-word masking (https://github.com/google-research/bert). The part of a word that a sequence
    begins with counts as a word.

    Args:
        tokens: (B, L) integer ids, all below V; they are not changed.
        rule: see `masking_rule`.
        probability: between 0 and 1.
        rng: the only source of randomness.
    """
    flat = tokens.reshape(-1).astype(np.int64)
    chosen = rng.random(len(flat)) < probability
    if rule.begins_word is not None:
        chosen = chosen[_first_of_word(tokens, rule.begins_word, rule.is_text)]
    positions = np.flatnonzero(chosen & rule.is_text[flat])
    labels = flat[positions]
    fate = rng.random(len(positions))
    random_ids = rule.text_ids[rng.integers(len(rule.text_ids), size=len(positions))]
    flat[positions] = np.where(fate < _MASKED, rule.mask_id, np.where(fate < _MASKED + _REPLACED, random_ids, labels))
    return Batch(flat.reshape(tokens.shape), positions, labels)


def _first_of_word(tokens: Tokens, begins_word: NDArray[np.bool_], is_text: NDArray[np.bool_]) -> Integers:
    """(B * L,) position of the first token of each token's word; tokens that are no text are words by themselves."""
    starts = begins_word[tokens] | ~is_text[tokens]
    starts[:, 1:] |= ~is_text[tokens[:, :-1]]
    starts[:, 0] = True
    flat = starts.reshape(-1)
    firsts: Integers = np.maximum.accumulate(np.where(flat, np.arange(len(flat)), 0))
    return firsts
