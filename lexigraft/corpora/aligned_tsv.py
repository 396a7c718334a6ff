"""Sentence-aligned text in tab-separated files, without quoting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.corpora.adapter import Adapter, Block
from lexigraft.corpora.cleaning import has_letter, normalized
from lexigraft.corpora.lines import line_blocks
from lexigraft.corpora.settings import AlignedTsvCorpus
from lexigraft.corpora.sources import TSV_SUFFIXES, existing_file, language_files, without
from lexigraft.errors import ConfigError, InputError, nearest
from lexigraft.languages import check_code

Digests = NDArray[np.uint64]
Flags = NDArray[np.bool_]


def open_aligned_tsv(settings: AlignedTsvCorpus) -> Adapter:
    """The adapter for a folder of pairs, or for one file whose header names the languages."""
    path = Path(settings.path)
    return PivotFolder(settings, path) if path.is_dir() else HeaderFile(settings, existing_file(path))


class PivotFolder(Adapter):
    """A folder of `<language>.tsv` with lines `pivot TAB language`.

    The pivot sides differ between files, so the id of a sentence is a digest of its pivot sentence: 64 bits of BLAKE2b, in
    hexadecimal. The pivot language's sentences are those of all files, each once. A repeated pivot sentence in a file counts
    as a duplicate id; the first occurrence is kept.
    """

    def __init__(self, settings: AlignedTsvCorpus, folder: Path) -> None:
        """Find the files.

        Raises:
            ConfigError: `pivot` is missing.
            InputError: see `sources.language_files`; or there is a file for the pivot language itself.
        """
        if settings.pivot is None:
            hint = "set `pivot` to the language of the first column, such as 'eng_Latn'"
            raise ConfigError("a folder of <language>.tsv needs the key `pivot`", where=folder, hint=hint)
        self.pivot = settings.pivot
        self.files = language_files(folder, TSV_SUFFIXES, without(settings.languages, self.pivot))
        if self.pivot in self.files:
            name = self.files[self.pivot].name
            raise InputError(f"{name} pairs the pivot language with itself", where=folder, hint="remove it")
        self.languages = list(settings.languages or [self.pivot, *self.files])

    def source(self, language: str) -> str:
        return "first columns" if language == self.pivot else self.files[language].name

    def blocks(self, language: str) -> Iterator[Block]:
        own_side = language != self.pivot
        files = [self.files[language]] if own_side else list(self.files.values())
        digests, valid = _digests(files, both_sides=own_side)
        first = _first_occurrences(digests, valid)
        start = 0
        for file in files:
            for pairs in _pairs(file):
                here = slice(start, start + len(pairs))
                start += len(pairs)
                ids = pl.Series(_hexadecimal(digests[here][first[here]]), dtype=pl.String)
                texts = pairs["side" if own_side else "pivot"].filter(pl.Series(first[here]))
                empty = int((~valid[here]).sum())
                dropped = {"empty": empty, "duplicate_ids": len(pairs) - empty - len(ids)}
                yield Block(pl.DataFrame({"sentence_id": ids, "text": texts}), dropped)


class HeaderFile(Adapter):
    """One file whose header holds language codes; the id of a sentence is its row number, counted from 0 after the header."""

    def __init__(self, settings: AlignedTsvCorpus, path: Path) -> None:
        """Read the header.

        Raises:
            InputError: the file is empty, or the header does not hold distinct language codes.
            ConfigError: `languages` names a language that the header lacks.
        """
        self.path = path
        _, lines = next(line_blocks(path), (0, [""]))
        self.header = lines[0].split("\t")
        for code in self.header:
            try:
                check_code(code)
            except ValueError as error:
                hint = "the first line must hold a language code per column, such as 'eng_Latn<TAB>tur_Latn'"
                raise InputError(str(error), where=f"{path}, line 1", hint=hint) from None
        if len(set(self.header)) < len(self.header):
            raise InputError(f"a language occurs twice in the header {self.header}", where=f"{path}, line 1")
        self.languages = list(settings.languages or self.header)
        for code in self.languages:
            if code not in self.header:
                raise ConfigError(f"no column for language {code!r}", where=path, hint=nearest(code, self.header))

    def source(self, language: str) -> str:
        return f"{self.path.name}, column {self.header.index(language) + 1}"

    def blocks(self, language: str) -> Iterator[Block]:
        column = self.header.index(language)
        for first, lines in line_blocks(self.path):
            rows = _columns(lines, self.header, self.path, first)
            ids = pl.int_range(first - 1, first - 1 + len(lines), eager=True).cast(pl.String)
            block = pl.DataFrame({"sentence_id": ids, "text": rows.to_series(column)})
            yield Block(block.slice(1) if first == 0 else block)


def _pairs(file: Path) -> Iterator[pl.DataFrame]:
    for first, lines in line_blocks(file):
        yield _columns(lines, ["pivot", "side"], file, first)


def _columns(lines: Sequence[str], names: Sequence[str], file: Path, first: int) -> pl.DataFrame:
    """Split lines at tabs into String columns, after checking that each line has one field per name."""
    text = pl.Series("line", lines, dtype=pl.String)
    columns = text.str.count_matches("\t", literal=True) + 1
    wrong = (columns != len(names)).arg_max() if (columns != len(names)).any() else None
    if wrong is not None:
        raise InputError(
            f"{columns[wrong]} columns, expected {len(names)} ({', '.join(names)})",
            where=f"{file}, line {first + wrong + 1}",
            hint="separate columns by single tabs; replace a tab inside a sentence by a space",
        )
    split = text.str.split_exact("\t", len(names) - 1)
    return pl.DataFrame(split.struct.unnest().get_columns()).rename(dict(zip(split.struct.fields, names, strict=True)))


def _digests(files: Sequence[Path], *, both_sides: bool) -> tuple[Digests, Flags]:
    """For every line: the digest of its cleaned pivot sentence, and whether the required sides contain a letter."""
    digests, valid = [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for file in files:
        for pairs in _pairs(file):
            pivot, side = normalized(pl.col("pivot")), normalized(pl.col("side"))
            letters = has_letter(pivot) & has_letter(side) if both_sides else has_letter(pivot)
            clean = pairs.select(pivot=pivot, valid=letters)
            data = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in clean["pivot"])
            digests.append(np.frombuffer(data, np.uint64))
            valid.append(clean["valid"].to_numpy())
    return np.concatenate(digests), np.concatenate(valid)


def _first_occurrences(digests: Digests, valid: Flags) -> Flags:
    """Flags of the valid rows whose digest does not occur in an earlier valid row."""
    rows = np.flatnonzero(valid)
    first = np.zeros(len(digests), dtype=np.bool_)
    first[rows[np.unique(digests[rows], return_index=True)[1]]] = True
    return first


def _hexadecimal(digests: Digests) -> list[str]:
    text = digests.tobytes().hex()
    return [text[start : start + 16] for start in range(0, len(text), 16)]
