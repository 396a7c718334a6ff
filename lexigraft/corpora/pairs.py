"""Sentence pairs as test sets, one per language: LASER's Tatoeba layout, tab-separated lines, or Parquet.

LASER: https://github.com/facebookresearch/LASER/tree/main/data/tatoeba/v1. The English sides differ between languages, so the
id of a pair consists of its language and line number, and the query language holds the English sides of all files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lexigraft.corpora.adapter import BLOCK_ROWS, Adapter, Block
from lexigraft.corpora.lines import line_blocks
from lexigraft.corpora.settings import PairsCorpus
from lexigraft.corpora.sources import pair_files
from lexigraft.errors import ConfigError, InputError
from lexigraft.files.parquet import holds_text, open_parquet, parquet_blocks, text_column

_SIDES = {"query": pl.String, "sentence": pl.String}


class Pairs(Adapter):
    """A folder of pair files; ids are `<language>/<line>`, lines counted from 0."""

    def __init__(self, settings: PairsCorpus) -> None:
        """Find the files.

        Raises:
            ConfigError: the query language is among the languages.
            InputError: a language has no file.
        """
        if settings.query_language in settings.languages:
            raise ConfigError(
                f"{settings.query_language} is the language of the queries and cannot be paired with itself",
                where=settings.path,
                hint="remove it from `languages`",
            )
        self.query_language = settings.query_language
        self.files = pair_files(settings)
        self.limits = {language: limit_of(settings.max_sentences, language) for language in settings.languages}
        self.languages = [settings.query_language, *settings.languages]

    def source(self, language: str) -> str:
        return "query sides of all pairs" if language == self.query_language else self.files[language][0].name

    def blocks(self, language: str) -> Iterator[Block]:
        for paired in self.files if language == self.query_language else [language]:
            pairs = read_pairs(self.files[paired]).slice(0, self.limits[paired])
            ids = pl.format(f"{paired}/{{}}", pl.int_range(pl.len()))
            yield Block(pairs.select(sentence_id=ids, text="query" if language == self.query_language else "sentence"))


def read_pairs(files: list[Path]) -> pl.DataFrame:
    """Columns query, sentence; both are null if either is empty, so that no sentence remains without its counterpart.

    Args:
        files: one tab-separated file, one Parquet file with these columns, or two files with the sentences and the queries.

    Raises:
        InputError: the file is empty, a line does not hold two sentences, two files differ in length, or a column is missing.
    """
    table = _parquet_pairs(files[0]) if files[0].suffix == ".parquet" else _text_pairs(files)
    whole = pl.all_horizontal(pl.all().str.strip_chars().str.len_chars() > 0)
    return table.select(pl.when(whole).then(pl.col(name)).alias(name) for name in _SIDES)


def _text_pairs(files: list[Path]) -> pl.DataFrame:
    lines = [[line for _, block in line_blocks(file) for line in block] for file in files]
    if not all(lines):
        raise InputError("the file of sentence pairs is empty", where=files[0], hint="get the file again")
    if len(files) == 2:
        sentences, queries = lines
        if len(sentences) != len(queries):
            raise InputError(
                f"{len(sentences)} sentences but {len(queries)} in {files[1].name}",
                where=files[0],
                hint="both files must hold the same pairs, line by line",
            )
        return pl.DataFrame({"query": queries, "sentence": sentences}, schema=_SIDES)
    for number, line in enumerate(lines[0], start=1):
        if line.count("\t") != 1:
            raise InputError(
                f"{line.count(chr(9)) + 1} columns, expected 2 (query TAB sentence)",
                where=f"{files[0]}, line {number}",
                hint="separate the two sentences by one tab, and use no tabs inside them",
            )
    query, sentence = zip(*(line.split("\t") for line in lines[0]), strict=True)
    return pl.DataFrame({"query": query, "sentence": sentence}, schema=_SIDES)


def _parquet_pairs(file: Path) -> pl.DataFrame:
    with open_parquet(file) as parquet:
        kinds = dict(zip(parquet.schema_arrow.names, parquet.schema_arrow.types, strict=True))
        if lacking := [name for name in _SIDES if name not in kinds or not holds_text(kinds[name])]:
            there = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
            problem = f"no strings in a column {' or '.join(map(repr, lacking))}: the file has {there}"
            raise InputError(problem, where=file, hint="name the two columns `query` and `sentence`")
        blocks = [
            pl.DataFrame({name: text_column(batch, name) for name in _SIDES})
            for batch in parquet_blocks(parquet, BLOCK_ROWS, list(_SIDES))
        ]
    table = pl.concat([pl.DataFrame(schema=_SIDES), *blocks])
    if table.is_empty():
        raise InputError("the file of sentence pairs is empty", where=file, hint="get the file again")
    return table


def limit_of(limits: int | dict[str, int] | None, language: str) -> int | None:
    """Maximum number of sentences of a language; None for no limit."""
    return limits.get(language) if isinstance(limits, dict) else limits
