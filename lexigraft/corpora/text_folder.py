"""A folder of text with one file per language: one sentence per line or row, or tables of ids and sentences (verses)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lexigraft.corpora.adapter import BLOCK_ROWS, Adapter, Block, sentence_block
from lexigraft.corpora.lines import line_blocks
from lexigraft.corpora.settings import TextFolderCorpus
from lexigraft.corpora.sources import TEXT_SUFFIXES, language_files
from lexigraft.errors import InputError
from lexigraft.files.parquet import holds_text, open_parquet, parquet_blocks, text_column

_KEY = "text"
_TABLE = {"sentence_id": pl.String, "text": pl.String}


class TextFolder(Adapter):
    """`<language>.txt`, `.txt.gz`, `.jsonl` (key `text`), `.parquet` (column `text`); or `.tsv`, `.tsv.gz` of `id TAB text`.

    In all but `.tsv` files, ids are line or row numbers from 0.
    """

    def __init__(self, settings: TextFolderCorpus) -> None:
        """Find the files.

        Raises:
            InputError: see `sources.language_files`.
        """
        self.files = language_files(Path(settings.path), TEXT_SUFFIXES, settings.languages)
        self.languages = list(self.files)

    def source(self, language: str) -> str:
        return self.files[language].name

    def blocks(self, language: str) -> Iterator[Block]:
        file = self.files[language]
        if file.suffix == ".parquet":
            return _parquet_blocks(file)
        if file.name.removesuffix(".gz").endswith(".tsv"):
            return _table_blocks(file)
        return _json_blocks(file) if file.suffix == ".jsonl" else (sentence_block(*block) for block in line_blocks(file))


def _table_blocks(file: Path) -> Iterator[Block]:
    """Blocks of `id TAB text`; of several lines with the same id the first is kept."""
    seen: set[str] = set()
    for first, lines in line_blocks(file):
        rows: dict[str, str] = {}
        repeated = blank = 0
        for number, line in enumerate(lines, start=first + 1):
            if not line.strip():
                blank += 1
                continue
            key, tab, text = line.partition("\t")
            if not tab or not key.strip() or "\t" in text:
                raise InputError(
                    f"expected id TAB text, got {line[:60]!r}",
                    where=f"{file}, line {number}",
                    hint="write an id, one tab and a sentence in every line; files of plain sentences must end in .txt",
                )
            if key in seen:
                repeated += 1
                continue
            seen.add(key)
            rows[key] = text
        table = pl.DataFrame({"sentence_id": list(rows), "text": list(rows.values())}, schema=_TABLE)
        yield Block(table, {"duplicate_ids": repeated, "empty": blank})


def _json_blocks(file: Path) -> Iterator[Block]:
    for first, lines in line_blocks(file):
        yield sentence_block(first, [_text_of(line, file, first + index) for index, line in enumerate(lines, start=1)])


def _text_of(line: str, file: Path, number: int) -> str | None:
    if not line.strip():
        return None
    where, hint = f"{file}, line {number}", f'each line must be an object such as {{"{_KEY}": "a sentence"}}'
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}", where=where, hint=hint) from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number too long
        raise InputError(f"JSON that cannot be read: {error}", where=where, hint=hint) from None
    if isinstance(row, dict) and isinstance(row.get(_KEY), str):
        try:
            row[_KEY].encode()
        except UnicodeEncodeError:
            raise InputError("the text has a lone surrogate", where=where, hint="write the file as UTF-8") from None
    if not isinstance(row, dict) or _KEY not in row:
        found = f"keys {', '.join(row)}" if isinstance(row, dict) else f"a {type(row).__name__}"
        raise InputError(f"no key {_KEY!r}: the line has {found}", where=where, hint=hint)
    if not isinstance(row[_KEY], str | None):
        raise InputError(f"{_KEY!r} is {row[_KEY]!r}, not a string", where=where, hint=hint)
    text: str | None = row[_KEY]
    return text


def _parquet_blocks(file: Path) -> Iterator[Block]:
    with open_parquet(file) as parquet:
        schema = parquet.schema_arrow
        if _KEY not in schema.names:
            problem = f"no column {_KEY!r}: the file has {', '.join(schema.names)}"
            raise InputError(problem, where=file, hint=f"name the column with the sentences {_KEY!r}")
        if not holds_text(schema.field(_KEY).type):
            raise InputError(f"column {_KEY!r} holds {schema.field(_KEY).type}, not strings", where=file)
        first = 0
        for batch in parquet_blocks(parquet, BLOCK_ROWS, [_KEY]):
            yield sentence_block(first, text_column(batch, _KEY))
            first += len(batch)
