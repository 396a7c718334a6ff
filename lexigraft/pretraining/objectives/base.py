"""What an objective of pre-training is: batches, and a loss on them. Importable without torch, for the configuration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lexigraft.settings import Settings

if TYPE_CHECKING:
    import torch

    from lexigraft.modeling.output_head import OutputHead
    from lexigraft.tokenizers.vocabulary import Vocabulary

Integers = NDArray[np.int64]
Tokens = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a model reads and predicts.

    Attributes:
        input_ids: (B, L) int64, what the model reads.
        positions: (n,) int64, ascending indices into the flattened B * L positions at which something is predicted.
        labels: (n,) int64, the tokens to predict there.
    """

    input_ids: Integers
    positions: Integers
    labels: Integers


MakeBatch = Callable[[Tokens, np.random.Generator], Batch]
"""Makes a batch of (B, L) tokens, which it does not change; the generator is the only source of randomness."""


class Objective(Settings):
    """What a model is asked to predict. Its fields are its options.

    Attributes:
        name: by which the setting `objective` chooses it.
        title: of what it does, for the model card.
        model_kind: the kind of language model that it trains.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    model_kind: ClassVar[Literal["masked", "causal"]]

    @abstractmethod
    def check(self, length: int, vocabulary: Vocabulary, where: object = None) -> None:
        """Raise InputError if sequences of `length` tokens of a vocabulary, which is in `where`, cannot be trained on."""

    @abstractmethod
    def batches(self, vocabulary: Vocabulary) -> MakeBatch:
        """The function that makes batches of tokens of a vocabulary."""

    @abstractmethod
    def card_row(self) -> str:
        """A row of the table in the model card: what is predicted."""

    def loss(self, encode: Callable[..., Any], head: OutputHead, batch: Batch, device: torch.device) -> torch.Tensor:
        """Sum of the cross-entropies of a batch's predicted tokens, float32.

        `encode` is the model without its head: ids (B, L) on `device` -> an output with `last_hidden_state` (B, L, D).
        """
        import torch

        arrays = (batch.input_ids, batch.positions, batch.labels)
        ids, positions, labels = (torch.from_numpy(array).to(device) for array in arrays)
        return head.loss(encode(ids).last_hidden_state.flatten(0, 1)[positions], labels)
