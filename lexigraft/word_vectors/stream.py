"""Writing a matrix of vectors block by block, as sealed safetensors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, sealed_file, tensors_header

Floats = NDArray[np.float32]
_BLOCK_ROWS = 1 << 16
_MOST_ROWS = 1 << 40


@dataclass(slots=True)
class VectorStream:
    """A file that is being written.

    Attributes:
        rows: vectors written so far.
    """

    handle: BinaryIO
    start: int
    dim: int
    rows: int = 0

    def append(self, block: Floats) -> None:
        """Write the next rows, (n, dim)."""
        self.handle.seek(self._position(self.rows))
        self.handle.write(np.ascontiguousarray(block, dtype="<f4").reshape(-1).view(np.uint8).data)
        self.rows += len(block)

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Drop all rows except these, in ascending order; they are moved block by block."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            # reading stays ahead of writing: row i comes from row i or a later one
            part = rows[start : start + _BLOCK_ROWS]
            block = self._read(int(part[0]), int(part[-1]) + 1, part - part[0])
            self.handle.seek(self._position(start))
            self.handle.write(block.reshape(-1).view(np.uint8).data)
        self.rows = len(rows)
        self.handle.truncate(self._position(self.rows))

    def _read(self, first: int, end: int, wanted: NDArray[np.intp]) -> Floats:
        """The wanted rows between `first` and `end`; at most one block is read at a time."""
        parts = []
        for start in range(first, end, _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, end)
            self.handle.seek(self._position(start))
            block = np.frombuffer(self.handle.read(4 * self.dim * (stop - start)), dtype="<f4").reshape(-1, self.dim)
            here = wanted[np.searchsorted(wanted, start - first) : np.searchsorted(wanted, stop - first)]
            parts.append(block[here - (start - first)])
        return np.concatenate(parts)

    def _position(self, row: int) -> int:
        return self.start + 4 * self.dim * row


@contextmanager
def vector_stream(path: Path, dim: int, provenance: Provenance) -> Iterator[VectorStream]:
    """Open `vectors.safetensors` (`vectors`, (N, dim) float32) for writing before N is known.

    The header has room for any number of rows, so its length does not depend on it. On success the file is sealed and moved
    to its place; otherwise it is deleted.
    """

    def header(rows: int, size: int = 0) -> bytes:
        return tensors_header({"vectors": (np.dtype(np.float32), (rows, dim))}, provenance, size)

    with sealed_file(path) as handle:
        length = len(header(_MOST_ROWS))
        handle.write(header(0, length))
        stream = VectorStream(handle, length, dim)
        yield stream
        handle.seek(0)
        handle.write(header(stream.rows, length))
        handle.seek(0, os.SEEK_END)
