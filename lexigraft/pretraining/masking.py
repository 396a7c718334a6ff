"""Dynamic masking for masked language modelling (BERT, Devlin et al. 2019, section 3.1, https://aclanthology.org/N19-1423)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.tokenizers.vocabulary import Vocabulary

Integers = NDArray[np.int64]
_MASKED, _REPLACED = 0.8, 0.1


@dataclass(frozen=True, slots=True)
class MaskingRule:
    """Which tokens may be masked and what stands in for them.

    Attributes:
        is_text: (V,) bool, tokens that may be masked: all without a special role.
        text_ids: ids of these tokens, from which random replacements are drawn.
        mask_id: the mask token.
    """

    is_text: NDArray[np.bool_]
    text_ids: Integers
    mask_id: int


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Sequences with masked tokens.

    Attributes:
        input_ids: (B, L) int64, what the model sees.
        positions: (n,) int64, ascending indices of the masked positions in the flattened B * L positions.
        labels: (n,) int64, the tokens that stood there.
    """

    input_ids: Integers
    positions: Integers
    labels: Integers


def masking_rule(vocabulary: Vocabulary, where: object = None) -> MaskingRule:
    """Read from a vocabulary's roles what may be masked.

    Raises:
        InputError: no token has the role `mask`, or none stands for text.
    """
    if "mask" not in vocabulary.roles:
        raise InputError(
            "the tokenizer has no mask token, which masked language modelling needs",
            where=where,
            hint="take a tokenizer whose vocabulary has a token of the role 'mask'",
        )
    is_text = vocabulary.is_text
    if not is_text.any():
        raise InputError(
            "all tokens of the tokenizer are special: none can be masked", where=where, hint="take another tokenizer"
        )
    return MaskingRule(is_text, np.flatnonzero(is_text).astype(np.int64), vocabulary.roles.index("mask"))


def mask_tokens(tokens: NDArray[np.integer], rule: MaskingRule, probability: float, rng: np.random.Generator) -> MaskedBatch:
    """Choose each text token with `probability`; of these, 80 % become the mask token, 10 % a random text token, 10 % stay.

    Args:
        tokens: (B, L) integer ids, all below V; they are not changed.
        rule: see `masking_rule`.
        probability: between 0 and 1.
        rng: the only source of randomness.
    """
    flat = tokens.reshape(-1).astype(np.int64)
    positions = np.flatnonzero((rng.random(len(flat)) < probability) & rule.is_text[flat])
    labels = flat[positions]
    fate = rng.random(len(positions))
    random_ids = rule.text_ids[rng.integers(len(rule.text_ids), size=len(positions))]
    flat[positions] = np.where(fate < _MASKED, rule.mask_id, np.where(fate < _MASKED + _REPLACED, random_ids, labels))
    return MaskedBatch(flat.reshape(tokens.shape), positions, labels)
