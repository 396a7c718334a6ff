"""Word vector files in all supported formats: word2vec text and binary, fastText `.vec`, Parquet, gensim's KeyedVectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.word_vectors.keyed_vectors import GensimVectors
from lexigraft.word_vectors.parquet import ParquetVectors
from lexigraft.word_vectors.pickled import PROTOCOLS
from lexigraft.word_vectors.word2vec import HEADER, NUMBER, BinaryVectors, TextVectors, open_plain, read_some

Floats = NDArray[np.float32]
_PEEK = 1 << 20


class VectorFile(Protocol):
    """An opened file: how many rows to expect, their width, and its blocks."""

    path: Path
    rows: int
    """Upper limit of the number of words; exact for most formats."""
    dim: int
    expected_blocks: int
    """Estimated number of blocks."""

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """Words as a frame (column `key`; `language` if the file has it) and their vectors, (rows, dim) float32."""


def open_vectors(path: Path, kind: str) -> VectorFile:
    """Open a file of vectors.

    Args:
        path: the file.
        kind: `word2vec_text`, `word2vec_binary`, `parquet`, `gensim`, or `auto` to detect it.

    Raises:
        InputError: the file is missing, empty, or in no supported format.
    """
    if not path.is_file():
        raise InputError(f"file {path.name!r} does not exist", where=path, hint="check the path in `paths`")
    with open_plain(path) as handle:
        start = read_some(handle, _PEEK, path)
    if not start:
        raise InputError("the file of word vectors is empty", where=path, hint="download or regenerate the file")
    kind = _kind(start, path) if kind == "auto" else kind
    if kind == "gensim":
        if path.suffix == ".gz":
            raise InputError("gzipped gensim files are not supported", where=path, hint="unpack it with gunzip first")
        return GensimVectors(path)
    if kind == "parquet":
        return ParquetVectors(path)
    return BinaryVectors(path, start) if kind == "word2vec_binary" else TextVectors(path, start)


def _kind(start: bytes, path: Path) -> str:
    """Detect the format from the first bytes."""
    if start.startswith(b"PAR1"):
        return "parquet"
    if start[:1] == b"\x80" and start[1:2] and start[1] in PROTOCOLS:
        return "gensim"
    header = HEADER.match(start)
    second = start[header.end() if header else 0 :].partition(b"\n")[0].rstrip(b" \r").split(b" ")
    if len(second) > 1 and all(NUMBER.fullmatch(value) for value in second[1:3]):
        return "word2vec_text"
    if header:
        return "word2vec_binary"
    raise InputError(
        f"unknown format: the file begins with {start[:20]!r}",
        where=path,
        hint="formats: word2vec text or binary, fastText .vec, Parquet, gensim's KeyedVectors; set `format` to choose one",
    )
