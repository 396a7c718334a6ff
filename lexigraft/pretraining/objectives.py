"""What a model is asked to predict: masked tokens, or the next one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.pretraining.masking import MaskedBatch, MaskingRule, mask_tokens, masking_rule
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.tokenizers.vocabulary import Vocabulary

Batch = MaskedBatch
"""Input ids (B, L), positions (n,) in the flattened input at which something is predicted, and labels (n,) there."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Makes batches of sequences.

    Attributes:
        name: `mlm` or `causal`.
        rule: what may be masked; None for `causal`.
        probability: of masking.
    """

    name: str
    rule: MaskingRule | None
    probability: float

    def batch(self, tokens: NDArray[np.integer], rng: np.random.Generator) -> Batch:
        """Batch of (B, L) tokens; a causal one predicts at each position but the last of a sequence the token after it."""
        if self.rule is not None:
            return mask_tokens(tokens, self.rule, self.probability, rng)
        number, length = tokens.shape
        ids = tokens.astype(np.int64)
        positions = np.arange(number * length).reshape(number, length)[:, :-1].reshape(-1)
        return MaskedBatch(ids, positions, ids[:, 1:].reshape(-1))


def objective_of(settings: PretrainingSettings, vocabulary: Vocabulary, where: Path | None = None) -> Objective:
    """The objective that the settings name.

    Raises:
        InputError: the vocabulary has no mask token, no text, or no word beginnings, or a sequence is too short to predict in.
    """
    if settings.objective == "causal":
        if settings.length < 2:
            raise InputError("sequences of 1 token have no next token", where="length", hint="set `length` to 2 or more")
        return Objective("causal", None, 0.0)
    rule = masking_rule(vocabulary, where, whole_words=settings.whole_words)
    return Objective("mlm", rule, settings.mask_probability)
