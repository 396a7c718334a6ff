"""The packed sequences as training reads them, and their order.

The table is unpacked once to a plain array on disk, which is mapped into memory: nothing of it has to fit there, and all
processes of a machine share it. The order follows from seed and position alone, so a resumed run needs no state of it.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexigraft.artifacts import atomic_file, check, identity
from lexigraft.errors import InputError

log = logging.getLogger(__name__)

_ROWS_A_BATCH = 1 << 14


def unpacked_path(data_path: Path, folder: Path) -> Path:
    """Where `unpack` puts the array of this table: its name says which content it holds."""
    return folder / f"sequences-{identity(data_path)[:16]}.npy"


def unpack(data_path: Path, folder: Path, length: int, vocab_size: int, minimum: int) -> int:
    """Write the sequences of `data_path` as an int32 array (N, length) to `unpacked_path`, and return N.

    Raises:
        ArtifactError: the table is damaged.
        InputError: its sequences are of another length, hold tokens that the model does not have, or are fewer than `minimum`.
    """
    check(data_path, "pretraining_data")
    table = pq.ParquetFile(data_path)
    count = int(table.metadata.num_rows)
    field = table.schema_arrow.field("tokens").type
    if field.list_size != length:
        raise InputError(
            f"the sequences have {field.list_size} tokens, the settings ask for {length}",
            where=data_path,
            hint="make the pre-training data again with the same `length`",
        )
    if count < minimum:
        raise InputError(
            f"{count} sequences of {length} tokens are fewer than one effective batch, {minimum}",
            where=data_path,
            hint="give more text, or a smaller `length`, `batch_size` or `accumulation`",
        )
    path = unpacked_path(data_path, folder)
    if path.is_file():  # renamed to its name when it was whole
        return count
    log.info("unpacking %d sequences to %s", count, path)
    with atomic_file(path) as handle:
        np.lib.format.write_array_header_1_0(handle, {"descr": "<i4", "fortran_order": False, "shape": (count, length)})
        for batch in table.iter_batches(_ROWS_A_BATCH, columns=["tokens"]):
            tokens = np.ascontiguousarray(batch.column(0).flatten().to_numpy(), dtype="<i4")
            low, high = int(tokens.min(initial=0)), int(tokens.max(initial=0))
            if low < 0 or high >= vocab_size:
                raise InputError(
                    f"the sequences hold token {low if low < 0 else high}, the model has {vocab_size} tokens",
                    where=data_path,
                    hint="the data was made with another tokenizer: make it with the model's own",
                )
            handle.write(tokens.data)
    return count


def open_sequences(data_path: Path, folder: Path) -> NDArray[np.int32]:
    """Map what `unpack` wrote: (N, length) int32, read-only."""
    sequences: NDArray[np.int32] = np.load(unpacked_path(data_path, folder), mmap_mode="r", allow_pickle=False)
    return sequences


def rows_at(first: int, count: int, sequences: int, seed: int) -> NDArray[np.int64]:
    """Rows that stand at positions first, …, first + count - 1 of an endless stream of epochs, each a permutation of its own.

    Args:
        first: position in the stream, from 0.
        count: number of rows.
        sequences: N, rows in an epoch.
        seed: of the permutations.
    """
    positions = np.arange(first, first + count)
    rows = np.empty(count, np.int64)
    for epoch in np.unique(positions // sequences):
        inside = positions // sequences == epoch
        rows[inside] = _permutation(seed, int(epoch), sequences)[positions[inside] % sequences]
    return rows


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, sequences: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(sequences)
