"""Causal language modeling: every token but the first of a sequence is predicted from those before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lexigraft.errors import InputError
from lexigraft.pretraining.objectives.base import Batch, MakeBatch, Objective, Tokens

if TYPE_CHECKING:
    import torch

    from lexigraft.modeling.output_head import OutputHead
    from lexigraft.tokenizers.vocabulary import Vocabulary


class CausalLanguageModeling(Objective):
    """Prediction of the next token, for decoder models."""

    name: ClassVar[str] = "causal"
    title: ClassVar[str] = "Causal language modeling"
    model_kind: ClassVar[Literal["masked", "causal"]] = "causal"

    def check(self, length: int, vocabulary: Vocabulary, where: object = None) -> None:  # noqa: ARG002
        """Raise InputError if a sequence is too short to predict in."""
        if length < 2:
            raise InputError("sequences of 1 token have no next token", where="length", hint="set `length` to 2 or more")

    def batches(self, vocabulary: Vocabulary) -> MakeBatch:  # noqa: ARG002
        """Batches of the tokens as they are."""
        return lambda tokens, _rng: next_tokens(tokens)

    def card_row(self) -> str:
        """What is predicted."""
        return "| predicted | the next token at every position |"

    def loss(self, encode: Callable[..., Any], head: OutputHead, batch: Batch, device: torch.device) -> torch.Tensor:
        """See `Objective.loss`; keys and values are not stored for later tokens."""
        return super().loss(partial(encode, use_cache=False), head, batch, device)


def next_tokens(tokens: Tokens) -> Batch:
    """(B, L) tokens, and the next token as the label at each position but the last of a sequence."""
    number, length = tokens.shape
    ids = tokens.astype(np.int64)
    positions = np.arange(number * length).reshape(number, length)[:, :-1].reshape(-1)
    return Batch(ids, positions, ids[:, 1:].reshape(-1))
