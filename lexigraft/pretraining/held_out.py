"""The loss of each language on sequences that are never trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lexigraft.pretraining.group import Group
from lexigraft.pretraining.objectives import Batch, Objective
from lexigraft.pretraining.shards import Shard

_SEED = 0
"""Masking is the same in every run, so that losses of models with one tokenizer compare."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Batches to measure on.

    Attributes:
        batches: (index of the language, batch); what is masked never changes.
        languages: names by index; those without held-out sequences have no batch.
    """

    batches: list[tuple[int, Batch]]
    languages: list[str]

    @classmethod
    def of(cls, shards: Sequence[Shard], objective: Objective, batch_size: int) -> HeldOut:
        """Batches of the held-out sequences of each shard."""
        batches = []
        for index, shard in enumerate(shards):
            for number, start in enumerate(range(0, len(shard.held_out), batch_size)):
                tokens = np.stack([shard[row] for row in shard.held_out[start : start + batch_size]])
                batches.append((index, objective.batch(tokens, np.random.default_rng([_SEED, number]))))
        return cls(batches, [shard.language for shard in shards])

    def losses(self, summed_loss: Callable[[Batch], Tensor], group: Group) -> dict[int, tuple[float, int]]:
        """Language -> (mean loss in nats, number of predicted tokens); `summed_loss` is a model's, in evaluation mode."""
        sums = torch.zeros(len(self.languages), 2, dtype=torch.float64, device=group.device)
        with torch.no_grad():
            for number, (language, batch) in enumerate(self.batches):
                if number % group.size == group.rank and len(batch.labels):
                    sums[language, 0] += summed_loss(batch).double()
                    sums[language, 1] += len(batch.labels)
        totals = group.sum(sums).tolist()
        return {language: (loss / count, int(count)) for language, (loss, count) in enumerate(totals) if count}
