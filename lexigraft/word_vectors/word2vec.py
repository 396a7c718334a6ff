"""word2vec's files, text (fastText's `.vec` is the same) and binary, plain or gzipped, block by block.

word2vec: https://github.com/tmikolov/word2vec (`distance.c` reads both forms). fastText:
https://fasttext.cc/docs/en/english-vectors.html.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError

Floats = NDArray[np.float32]
HEADER = re.compile(rb"(\d{1,18}) (\d{1,9}) ?\r?\n")
NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_BLOCK = 1 << 23
_LONGEST_WORD = 1 << 14
_WIDEST = 1 << 16
_LONGEST_LINE = 1 << 26
# of numbers written as text; only affects the displayed progress
_USUAL_COMPRESSION = 2.5
_TEXT_HINT = "each line must be a word and its numbers, separated by single spaces"


class TextVectors:
    """One line `word v1 v2 …` per word, separated by single spaces; a first line `words width` is optional."""

    def __init__(self, path: Path, start: bytes) -> None:
        """Take width and length from the header, or from the first line and the number of lines."""
        self.path = path
        header = HEADER.match(start)
        self.header_length = header.end() if header else 0
        first = start[self.header_length :].partition(b"\n")[0].rstrip(b" \r")
        self.dim = int(header[2]) if header else first.count(b" ")
        self.promised = int(header[1]) if header else None
        if self.dim < 1:
            raise InputError("the first line holds no vector", where=f"{path}, line 1", hint=_TEXT_HINT)
        check_width(self.dim, path)
        # the file size bounds the memory that a wrong header can request
        self.rows = min(self.promised, _most_rows(path, 2 * self.dim)) if self.promised is not None else _lines(path)
        self.expected_blocks = _expected_blocks(path)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """See `formats.VectorFile`."""
        line, found = 1 + bool(self.header_length), 0
        for block in _line_blocks(self.path, self.header_length):
            words, vectors = self._parse(block, line)
            line, found = line + len(words), found + len(words)
            if self.promised is not None and found > self.promised:
                break
            yield words, vectors
        if self.promised is not None and found != self.promised:
            there = f"ends after {found} words" if found < self.promised else "continues after them"
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
                if not NUMBER.fullmatch(value):
                    shown = value.decode()[:40]
                    return InputError(f"{shown!r} is no number", where=f"{self.path}, line {number}", hint=_TEXT_HINT)
        return InputError("the vectors cannot be parsed", where=f"{self.path}, from line {line}", hint=_TEXT_HINT)


class BinaryVectors:
    """A line `words width`, then for each word its bytes, a space, and the vector as little-endian float32."""

    def __init__(self, path: Path, start: bytes) -> None:
        """Take width and length from the header."""
        header = HEADER.match(start)
        if header is None or int(header[2]) < 1:
            hint = "word2vec's binary form begins with a line of two numbers, words and width"
            raise InputError("no word2vec header", where=path, hint=hint)
        self.path, self.header_length = path, header.end()
        self.promised, self.dim = int(header[1]), int(header[2])
        check_width(self.dim, path)
        self.rows = min(self.promised, _most_rows(path, 4 * self.dim + 1))
        self.expected_blocks = _expected_blocks(path)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """See `formats.VectorFile`."""
        found, rest, width = 0, b"", 4 * self.dim
        with open_plain(self.path) as handle:
            read_some(handle, self.header_length, self.path)
            while found < self.promised:
                chunk = read_some(handle, _BLOCK, self.path)
                if not chunk:
                    problem = f"the file is truncated: it holds {found} of {self.promised} words"
                    raise InputError(problem, where=self.path, hint="get the file again")
                keys, vectors, rest = self._split(rest + chunk, self.promised - found, found, width)
                if keys:
                    found += len(keys)
                    values = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, self.dim)
                    yield pl.DataFrame({"key": keys}, schema={"key": pl.String}), values
            if (rest + read_some(handle, 16, self.path)).strip():
                problem = f"the header promises {self.promised} words, the file continues after them"
                raise InputError(problem, where=self.path, hint="get the file again")

    def _split(self, data: bytes, most: int, found: int, width: int) -> tuple[list[str], list[memoryview], bytes]:
        """Complete entries at the start of `data` up to a limit, and the rest; a loop, because words differ in length."""
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


def check_width(dim: int, where: object) -> None:
    """Raise InputError for an implausible width: memory is allocated by the stated width."""
    if dim > _WIDEST:
        problem = f"vectors of width {dim}: at most {_WIDEST} numbers are read"
        raise InputError(problem, where=where, hint="is this a file of word vectors? get it again")


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading; `.gz` files are decompressed."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def read_some(handle: BinaryIO, size: int, path: Path) -> bytes:
    """Read at most this number of bytes; raises InputError if gzip data is damaged."""
    try:
        return handle.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"damaged gzip data: {error}", where=path, hint="get the file again") from None


def _line_blocks(path: Path, skip: int = 0) -> Iterator[bytes]:
    """Blocks of whole lines, each block ending with a line feed."""
    rest = b""
    with open_plain(path) as handle:
        read_some(handle, skip, path)
        while chunk := read_some(handle, _BLOCK, path):
            whole, newline, after = chunk.rpartition(b"\n")
            if newline:
                yield rest + whole + newline
                rest = after
            else:
                rest += chunk
                if len(rest) > _LONGEST_LINE:
                    problem = f"a line is longer than {_LONGEST_LINE >> 20} MiB"
                    raise InputError(problem, where=path, hint="is this a file of word vectors? get it again")
    if rest:
        yield rest + b"\n"


def _lines(path: Path) -> int:
    return sum(block.count(b"\n") for block in _line_blocks(path))


def _most_rows(path: Path, row_bytes: int) -> int:
    """Maximum number of rows of this minimum size; gzip packs at most 1032 bytes into one."""
    return path.stat().st_size * (1032 if path.suffix == ".gz" else 1) // row_bytes + 1


def _expected_blocks(path: Path) -> int:
    size = path.stat().st_size * (_USUAL_COMPRESSION if path.suffix == ".gz" else 1)
    return int(size / _BLOCK) + 1
