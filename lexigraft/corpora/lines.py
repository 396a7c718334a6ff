"""Reading text files line by line, in blocks, with errors that name the line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lexigraft.errors import InputError

_CHUNK = 1 << 23
_LONGEST_LINE = 1 << 28


def line_blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, counted from 0; lines without line ends) of a UTF-8 file, plain or gzipped.

    Only a line feed, with or without a carriage return, ends a line; a byte order mark at the start is removed.

    Raises:
        InputError: the file is not UTF-8 (names line and byte), its gzip data is damaged, or a line is implausibly long.
    """
    first, rest = 0, b""
    with _open(path) as handle:
        while chunk := _read(handle, path, first):
            whole, newline, rest_of_chunk = chunk.rpartition(b"\n")
            if not newline:
                rest += chunk
                if len(rest) > _LONGEST_LINE:
                    problem = f"line {first + 1} is longer than {_LONGEST_LINE >> 20} MiB"
                    raise InputError(problem, where=path, hint="check that this is text with one sentence per line")
                continue
            lines = _decode(rest + whole, path, first).split("\n")
            yield first, [line.removesuffix("\r") for line in lines]
            first, rest = first + len(lines), rest_of_chunk
    if rest:
        yield first, [_decode(rest, path, first).removesuffix("\r")]


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _read(handle: BinaryIO, path: Path, line: int) -> bytes:
    try:
        return handle.read(_CHUNK)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        problem = f"damaged gzip data after about line {line + 1}: {error}"
        raise InputError(problem, where=path, hint="get the file again; `gzip -t` checks it") from None


def _decode(data: bytes, path: Path, first: int) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first + data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise InputError(
            f"not UTF-8: byte 0x{data[error.start]:02X} at byte {column} of line {line} ({error.reason})",
            where=f"{path}, line {line}",
            hint="convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        ) from None
    return text.removeprefix("\ufeff") if first == 0 else text
