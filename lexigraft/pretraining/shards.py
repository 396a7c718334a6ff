"""The packed sequences as training reads them: Arrow files mapped into memory, one per language.

They need not fit in memory, and all processes of a machine share the pages that are. Some sequences of each language, spread
over its whole text, are set aside: they are never trained on and measure the loss of that language.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexigraft.artifacts import check, map_arrow, read_metadata
from lexigraft.errors import ArtifactError, InputError
from lexigraft.pretraining.packing import SEQUENCES_A_BATCH, STAGE

log = logging.getLogger(__name__)

Integers = NDArray[np.int64]
_ONE_IN = 20
"""A language gives up at most one sequence in so many for measuring."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The sequences of one language.

    Attributes:
        language: its code.
        tokens: (n, length) int32 mapped arrays, all of `SEQUENCES_A_BATCH` rows but the last.
        sentences: (N,) int32, sentences that begin in each sequence.
        held_out: rows that are not trained on, ascending.
    """

    language: str
    tokens: tuple[NDArray[np.int32], ...]
    sentences: NDArray[np.int32]
    held_out: Integers

    @property
    def rows(self) -> int:
        """Number of sequences, held-out ones included."""
        return len(self.sentences)

    @property
    def training_rows(self) -> int:
        """Number of sequences to train on."""
        return self.rows - len(self.held_out)

    def row_of(self, ranks: Integers) -> Integers:
        """Rows of the training sequences with these ranks, 0 … training_rows - 1."""
        rows: Integers = ranks + np.searchsorted(self.held_out - np.arange(len(self.held_out)), ranks, side="right")
        return rows

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        """(length,) tokens of one sequence."""
        tokens: NDArray[np.int32] = self.tokens[row // SEQUENCES_A_BATCH][row % SEQUENCES_A_BATCH]
        return tokens


def open_shards(paths: Sequence[Path], held_out: int) -> list[Shard]:
    """Map shards that `check_shards` has checked; `held_out` sequences of each are set aside."""
    shards = []
    for path in paths:
        batches = map_arrow(path)
        tokens = tuple(batch.column(0).flatten().to_numpy(zero_copy_only=True).reshape(len(batch), -1) for batch in batches)
        sentences = np.concatenate([batch.column(1).to_numpy() for batch in batches])
        language = str(read_metadata(path)["language"])
        shards.append(Shard(language, tokens, sentences, held_out_rows(len(sentences), held_out)))
    return shards


def held_out_rows(rows: int, wanted: int) -> Integers:
    """Evenly spaced rows to measure on: `wanted`, but never more than one in twenty."""
    count = min(wanted, rows // _ONE_IN)
    return ((2 * np.arange(count) + 1) * rows // max(2 * count, 1)).astype(np.int64)


def check_shards(paths: Sequence[Path], length: int, vocab_size: int, tokenizer_sha256: str, minimum: int) -> None:
    """Check everything about shards that training relies on, reading them once.

    Raises:
        ArtifactError: a shard is damaged.
        InputError: its sequences are of another length or were made with another tokenizer, a language occurs twice, or all
            sequences together are fewer than `minimum`.
    """
    if not paths:
        raise InputError("there is no data to train on", hint="name languages that the corpus has")
    seen: dict[str, Path] = {}
    for path in paths:
        check(path, STAGE)
        found = read_metadata(path)
        language = found["language"]
        if language in seen:
            raise InputError(f"two shards hold {language}", where=f"{seen[language]}, {path}", hint="give one")
        seen[language] = path
        if found["length"] != length:
            raise InputError(
                f"the sequences have {found['length']} tokens, the settings ask for {length}",
                where=path,
                hint="make the pre-training data again with the same `length`",
            )
        if found["tokenizer_sha256"] != tokenizer_sha256:
            raise InputError(
                f"the sequences of {language} were made with another tokenizer than the model's",
                where=path,
                hint="make the pre-training data again with the tokenizer.json of the model",
            )
        _check_tokens(path, length, vocab_size)
    count = sum(shard.training_rows for shard in open_shards(paths, 0))
    if count < minimum:
        raise InputError(
            f"{count} sequences of {length} tokens are fewer than one effective batch, {minimum}",
            where=", ".join(map(str, paths[:3])),
            hint="give more text, or a smaller `length`, `batch_size` or `accumulation`",
        )


def _check_tokens(path: Path, length: int, vocab_size: int) -> None:
    batches = map_arrow(path)
    if not batches:
        raise ArtifactError("the shard holds no sequence", where=path, hint="delete the file and run snakemake again")
    for number, batch in enumerate(batches):
        if number < len(batches) - 1 and len(batch) != SEQUENCES_A_BATCH:
            problem = "the shard has batches of another size"
            raise ArtifactError(problem, where=path, hint="delete the file and run snakemake again")
        tokens = batch.column(0).flatten().to_numpy(zero_copy_only=True)
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocab_size or len(tokens) != length * len(batch):
            raise InputError(
                f"the sequences hold token {low if low < 0 else high}, the model has {vocab_size} tokens",
                where=path,
                hint="the data was made with another tokenizer: make it with the model's own",
            )
