"""The batches of a run: sequences in their order, and the objective's question about them.

Order and masking of a micro-batch follow from (seed, step, number of the micro-batch in the step), whichever process computes
it. So a resumed run needs no state of random generators, and the number of processes changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexigraft.pretraining.job import Job
from lexigraft.pretraining.objectives import objective_of
from lexigraft.pretraining.objectives.base import Batch, MakeBatch
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.pretraining.shards import Shard, open_shards
from lexigraft.pretraining.stream import Stream, shares
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.training.seeds import derived_seed

ORDER, MASKING, DROPOUT = range(3)  # purposes of a seed, mixed into it
_HELD_OUT_SEED = 0
"""Masking of held-out sequences is the same in every run, so that losses of models with one tokenizer can be compared."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The sequences of each language, the order in which they are trained on, and what makes batches of them."""

    shards: list[Shard]
    stream: Stream
    make_batch: MakeBatch
    settings: PretrainingSettings
    seed: int

    @classmethod
    def of(cls, job: Job) -> TrainingData:
        """Data of a job, whose shards and vocabulary are checked."""
        settings = job.settings
        shards = open_shards(job.data_paths, settings.held_out_sequences)
        sizes = tuple(shard.training_rows for shard in shards)
        per_epoch = shares(sizes, settings.sampling_exponent)
        stream = Stream(sizes, per_epoch, derived_seed(job.seed, ORDER), settings.buffer)
        make_batch = objective_of(settings).batches(read_vocabulary(job.vocabulary_path))
        return cls(shards, stream, make_batch, settings, job.seed)

    @property
    def languages(self) -> list[str]:
        """Names of the languages, in the order of their numbers."""
        return [shard.language for shard in self.shards]

    def tokens(self, step: int, number: int) -> NDArray[np.int32]:
        """(B, L) tokens of micro-batch `number` (from 0) of `step` (from 1)."""
        first = ((step - 1) * self.settings.accumulation + number) * self.settings.batch_size
        languages, ranks = self.stream.at(first, self.settings.batch_size)
        found = [(self.shards[language], ranks[index : index + 1]) for index, language in enumerate(languages)]
        return np.stack([shard[int(shard.row_of(rank)[0])] for shard, rank in found])

    def batch(self, step: int, number: int) -> Batch:
        """Micro-batch `number` (from 0) of `step` (from 1)."""
        return self.make_batch(self.tokens(step, number), np.random.default_rng([self.seed, MASKING, step, number]))

    def held_out(self) -> Iterator[tuple[int, Batch]]:
        """(number of the language, batch) of the held-out sequences, always the same."""
        size = self.settings.batch_size
        for language, shard in enumerate(self.shards):
            for number, start in enumerate(range(0, len(shard.held_out), size)):
                tokens = np.stack([shard[row] for row in shard.held_out[start : start + size]])
                yield language, self.make_batch(tokens, np.random.default_rng([_HELD_OUT_SEED, number]))

    def drawn(self, step: int) -> dict[str, int]:
        """Language -> sequences of it that the steps up to `step` train on."""
        position = step * self.settings.accumulation * self.settings.batch_size
        return dict(zip(self.languages, self.stream.counts(position).tolist(), strict=True))
