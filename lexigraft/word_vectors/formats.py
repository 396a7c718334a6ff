"""Word vector files block by block: word2vec text (fastText's `.vec` is the same), word2vec binary and Parquet.

word2vec: https://github.com/tmikolov/word2vec (`distance.c` reads both forms). fastText:
https://fasttext.cc/docs/en/english-vectors.html. Python pickles (gensim's `.wv`, `.model`) are never read.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexigraft.errors import InputError

Floats = NDArray[np.float32]
_BLOCK = 1 << 23
_BLOCK_ROWS = 1 << 16
_PEEK = 1 << 20
_LONGEST_WORD = 1 << 14
_HEADER = re.compile(rb"(\d+) (\d+) ?\r?\n")
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)


class VectorFile(Protocol):
    """An opened file: how many rows to expect, their width, and its blocks."""

    path: Path
    rows: int
    """At most so many words; for most formats exactly so many."""
    dim: int

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """Words as a frame (column `key`; `language` if the file has it) and their vectors, (rows, dim) float32."""


def open_vectors(path: Path, kind: str) -> VectorFile:
    """Open a file of vectors; `kind` is `word2vec_text`, `word2vec_binary`, `parquet`, or `auto` to look into the file.

    Raises:
        InputError: the file is missing, empty, or of no format that is read here.
    """
    if not path.is_file():
        raise InputError(f"file {path.name!r} does not exist", where=path, hint="check the path in `paths`")
    with _open(path) as handle:
        start = _read(handle, _PEEK, path)
    if not start:
        raise InputError("the file of word vectors is empty", where=path, hint="get or make the file again")
    kind = _kind(start, path) if kind == "auto" else kind
    if kind == "parquet":
        return ParquetVectors(path)
    return BinaryVectors(path, start) if kind == "word2vec_binary" else TextVectors(path, start)


class TextVectors:
    """`word v1 v2 …` a line, separated by single spaces, with or without a first line `words width`."""

    def __init__(self, path: Path, start: bytes) -> None:
        """Take width and length from the header, or from the first line and the number of lines."""
        self.path = path
        header = _HEADER.match(start)
        self.header_length = header.end() if header else 0
        first = start[self.header_length :].partition(b"\n")[0].rstrip(b" \r")
        self.dim = int(header[2]) if header else first.count(b" ")
        self.promised = int(header[1]) if header else None
        if self.dim < 1:
            raise InputError("the first line holds no vector", where=f"{path}, line 1", hint=_TEXT_HINT)
        # the size bounds the memory that a wrong header can ask for
        self.rows = min(self.promised, _most_rows(path, 2 * self.dim)) if self.promised is not None else _lines(path)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        line, found = 1 + bool(self.header_length), 0
        for block in _line_blocks(self.path, self.header_length):
            words, vectors = self._parse(block, line)
            line, found = line + len(words), found + len(words)
            if self.promised is not None and found > self.promised:
                break
            yield words, vectors
        if self.promised is not None and found != self.promised:
            there = f"ends after {found} words" if found < self.promised else "goes on after them"
            problem = f"the header promises {self.promised} words, the file {there}"
            raise InputError(problem, where=self.path, hint="get the file again, or correct its first line")

    def _parse(self, block: bytes, line: int) -> tuple[pl.DataFrame, Floats]:
        block = block.replace(b"\r\n", b"\n").replace(b" \n", b"\n")
        self._check_utf8(block, line)
        self._check_widths(block, line)
        schema = {"key": pl.String, **{f"v{index}": pl.Float32 for index in range(self.dim)}}
        try:
            frame = pl.read_csv(block, separator=" ", has_header=False, quote_char=None, schema=pl.Schema(schema))
        except pl.exceptions.PolarsError as error:
            raise self._not_numbers(block, line) from error
        vectors = frame.drop("key")
        if sum(vectors.null_count().row(0)):
            raise self._not_numbers(block, line)
        return frame.select(pl.col("key").fill_null("")), vectors.to_numpy()

    def _check_utf8(self, block: bytes, line: int) -> None:
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            number = line + block.count(b"\n", 0, error.start)
            raise InputError(
                f"not UTF-8: byte 0x{block[error.start]:02X}",
                where=f"{self.path}, line {number}",
                hint="convert the file with iconv; for word2vec's binary form set `format: word2vec_binary`",
            ) from None

    def _check_widths(self, block: bytes, line: int) -> None:
        data = np.frombuffer(block, np.uint8)
        starts = np.concatenate([[0], np.flatnonzero(data == ord("\n"))[:-1] + 1])
        widths = np.add.reduceat((data == ord(" ")).view(np.int8), starts, dtype=np.int64)
        wrong = np.flatnonzero(widths != self.dim)
        if len(wrong):
            other = int(widths[wrong[0]])
            problem = f"vectors of two widths: {self.dim} and {other}" if other else "a line without a vector"
            where, hint = f"{self.path}, line {line + wrong[0]}", f"{_TEXT_HINT}; a word must hold no space"
            raise InputError(problem, where=where, hint=hint)

    def _not_numbers(self, block: bytes, line: int) -> InputError:
        for number, text in enumerate(block.split(b"\n"), start=line):
            for value in text.split(b" ")[1:]:
                if not _NUMBER.fullmatch(value):
                    shown = value.decode()[:40]
                    return InputError(f"{shown!r} is no number", where=f"{self.path}, line {number}", hint=_TEXT_HINT)
        return InputError("the vectors cannot be parsed", where=f"{self.path}, from line {line}", hint=_TEXT_HINT)


class BinaryVectors:
    """A line `words width`, then for each word its bytes, a space, and the vector as little-endian float32."""

    def __init__(self, path: Path, start: bytes) -> None:
        """Take width and length from the header."""
        header = _HEADER.match(start)
        if header is None or int(header[2]) < 1:
            hint = "word2vec's binary form begins with a line of two numbers, words and width"
            raise InputError("no word2vec header", where=path, hint=hint)
        self.path, self.header_length = path, header.end()
        self.promised, self.dim = int(header[1]), int(header[2])
        self.rows = min(self.promised, _most_rows(path, 4 * self.dim + 1))

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        found, rest, width = 0, b"", 4 * self.dim
        with _open(self.path) as handle:
            _read(handle, self.header_length, self.path)
            while found < self.promised:
                chunk = _read(handle, _BLOCK, self.path)
                if not chunk:
                    raise self._truncated(found)
                keys, vectors, rest = self._split(rest + chunk, self.promised - found, found, width)
                if keys:
                    found += len(keys)
                    values = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, self.dim)
                    yield pl.DataFrame({"key": keys}, schema={"key": pl.String}), values
            if (rest + _read(handle, 16, self.path)).strip():
                problem = f"the header promises {self.promised} words, the file goes on after them"
                raise InputError(problem, where=self.path, hint="get the file again")

    def _split(self, data: bytes, most: int, found: int, width: int) -> tuple[list[str], list[memoryview], bytes]:
        """Whole entries at the start of `data`, at most so many, and the rest; words differ in length, so a loop finds them."""
        keys: list[str] = []
        vectors: list[memoryview] = []
        view, position = memoryview(data), 0
        while len(keys) < most:
            space = data.find(b" ", position, position + _LONGEST_WORD)
            if space < 0 and len(data) - position >= _LONGEST_WORD:
                where = f"{self.path}, word {found + len(keys) + 1}"
                raise InputError("no word where one should begin", where=where, hint="is this word2vec's binary form?")
            end = space + 1 + width
            if space < 0 or end > len(data):
                break
            keys.append(self._word(data[position:space].lstrip(b"\n"), found + len(keys) + 1))
            vectors.append(view[space + 1 : end])
            position = end
        return keys, vectors, data[position:]

    def _word(self, data: bytes, number: int) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            where, hint = f"{self.path}, word {number}", "is the width in the first line right? words must be UTF-8"
            raise InputError(f"a word is not UTF-8: {data[:40]!r}", where=where, hint=hint) from None

    def _truncated(self, found: int) -> InputError:
        problem = f"the file is truncated: it holds {found} of {self.promised} words"
        return InputError(problem, where=self.path, hint="get the file again")


class ParquetVectors:
    """Columns `word` and `vector` (lists of numbers), or `word` and a float column a dimension; optionally `language`."""

    def __init__(self, path: Path) -> None:
        """Take width and length from the file's own description; of lists, the first vector tells the width."""
        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
                names = schema.names
                if "word" not in names:
                    raise InputError(f"no column 'word': the file has {', '.join(names[:10])}", where=path, hint=_PARQUET_HINT)
                numbers = [name for name in names if pa.types.is_floating(schema.field(name).type)]
                self.columns = ["vector"] if "vector" in names else numbers
                self.with_language = "language" in names
                self.dim = self._first_width(file) if self.columns == ["vector"] else len(self.columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"cannot be read as Parquet: {error}", where=path, hint="write the file again") from None
        if self.rows == 0:
            raise InputError("the file of word vectors holds no row", where=path, hint="get or make the file again")
        if self.dim < 1:
            raise InputError(f"no vectors: the file has {', '.join(names[:10])}", where=path, hint=_PARQUET_HINT)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        words, row = ["word", *(["language"] if self.with_language else [])], 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BLOCK_ROWS, columns=[*words, *self.columns]):
                frame = cast(pl.DataFrame, pl.from_arrow(batch))
                keys = frame.select(pl.col(words).cast(pl.String)).rename({"word": "key"})
                for name in words:
                    if frame[name].null_count():
                        number = row + int(cast(int, frame[name].is_null().arg_max()))
                        raise InputError(f"no {name}", where=f"{self.path}, row {number}", hint=_PARQUET_HINT)
                yield keys, self._values(frame.select(self.columns), row)
                row += len(frame)

    def _first_width(self, file: pq.ParquetFile) -> int:
        batch = next(file.iter_batches(1, columns=["vector"]), None)
        first = None if batch is None else batch.column(0)[0].as_py()
        return len(first) if isinstance(first, list) else 0

    def _values(self, frame: pl.DataFrame, row: int) -> Floats:
        if self.columns != ["vector"]:
            return frame.select(pl.all().cast(pl.Float32).fill_null(float("nan"))).to_numpy()
        column = frame["vector"]
        lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
        widths = lists.list.len().fill_null(0)
        if (widths != self.dim).any():
            number = int(cast(int, (widths != self.dim).arg_max()))
            problem = f"vectors of two widths: {self.dim} and {widths[number]}"
            raise InputError(problem, where=f"{self.path}, row {row + number}", hint=_PARQUET_HINT)
        values = lists.explode().cast(pl.Float32).fill_null(float("nan")).to_numpy()
        return values.reshape(-1, self.dim)


_TEXT_HINT = "each line must be a word and its numbers, separated by single spaces"
_PARQUET_HINT = "columns: word, vector (a list of numbers) or one float column a dimension, and if you like language"


def _kind(start: bytes, path: Path) -> str:
    """Tell the format from the first bytes."""
    if start.startswith(b"PAR1"):
        return "parquet"
    header = _HEADER.match(start)
    second = start[header.end() if header else 0 :].partition(b"\n")[0].rstrip(b" \r").split(b" ")
    if len(second) > 1 and all(_NUMBER.fullmatch(value) for value in second[1:3]):
        return "word2vec_text"
    if header:
        return "word2vec_binary"
    raise InputError(
        f"unknown format: the file begins with {start[:20]!r}",
        where=path,
        hint="word2vec text or binary, fastText .vec, or Parquet are read; from gensim, save with "
        "`vectors.save_word2vec_format(path, binary=True)`; or say what it is with `format`",
    )


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _read(handle: BinaryIO, size: int, path: Path) -> bytes:
    try:
        return handle.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"damaged gzip data: {error}", where=path, hint="get the file again") from None


def _line_blocks(path: Path, skip: int = 0) -> Iterator[bytes]:
    """Blocks of whole lines, each block ending with a line feed."""
    rest = b""
    with _open(path) as handle:
        _read(handle, skip, path)
        while chunk := _read(handle, _BLOCK, path):
            whole, newline, after = chunk.rpartition(b"\n")
            if newline:
                yield rest + whole + newline
                rest = after
            else:
                rest += chunk
    if rest:
        yield rest + b"\n"


def _lines(path: Path) -> int:
    return sum(block.count(b"\n") for block in _line_blocks(path))


def _most_rows(path: Path, row_bytes: int) -> int:
    """How many rows of at least so many bytes a file can hold; gzip packs at most 1032 bytes into one."""
    return path.stat().st_size * (1032 if path.suffix == ".gz" else 1) // row_bytes + 1
