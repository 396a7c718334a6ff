"""Word vectors read from files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.errors import InputError
from lexigraft.files.checksums import check_digests
from lexigraft.progress import progress
from lexigraft.word_vectors.formats import Floats, VectorFile, open_vectors
from lexigraft.word_vectors.paths import vector_files
from lexigraft.word_vectors.settings import VectorFiles
from lexigraft.word_vectors.stream import VectorStream, vector_stream
from lexigraft.word_vectors.table import SCHEMA, check_vectors

log = logging.getLogger(__name__)


def write_vector_files(settings: VectorFiles, words_path: Path, vectors_path: Path, provenance: Provenance) -> None:
    """Read the word vectors that the settings name and write them as `table.write_word_vectors` does, block by block.

    A file for all languages has keys `iso3:word`, English words bare, and `$` for a space (the rule of ColexNet+), or a
    column `language`; in a file per language the keys are words. `languages` filters by ISO 639-3 code, `max_words` then
    limits the words per file. If a key occurs more than once, the last one wins. Needs memory for the words and some blocks,
    regardless of the number of vectors.

    Raises:
        InputError: a file does not have the given digest.
        InputError: a file is missing, empty, truncated, of an unknown format, not UTF-8, holds NaN or vectors of two widths,
            or no word remains.
    """
    if settings.sha256 is not None:
        check_digests(vector_files(settings), settings.sha256, "word vectors")
    files = _opened(settings)
    dim = next(iter(files.values())).dim
    with vector_stream(vectors_path, dim, provenance) as stream:
        words = _pass(files, settings, stream)
    write_table(words_path, words.with_columns(sentences=pl.lit(0, dtype=pl.Int64)).cast(SCHEMA), provenance)


def _opened(settings: VectorFiles) -> dict[str | None, VectorFile]:
    paths = settings.paths if isinstance(settings.paths, dict) else {None: settings.paths}
    wanted = _wanted(settings)
    files = {
        language: open_vectors(Path(path), settings.format)
        for language, path in paths.items()
        if language is None or wanted is None or language[:3] in wanted
    }
    if not files:
        raise _nothing_left(settings)
    first = next(iter(files.values()))
    for file in files.values():
        if file.dim != first.dim:
            raise InputError(
                f"vectors of two widths: {first.dim} and {file.dim}",
                where=f"{first.path}, {file.path}",
                hint="vectors of all languages must share one space and width",
            )
    return files


def _wanted(settings: VectorFiles) -> list[str] | None:
    return None if settings.languages is None else sorted({code[:3] for code in settings.languages})


def _pass(files: dict[str | None, VectorFile], settings: VectorFiles, stream: VectorStream) -> pl.DataFrame:
    """Write the vectors of all files to `stream`; returns language and word of each remaining row."""
    words, end = [pl.DataFrame(schema={"language": pl.String, "word": pl.String})], 0
    for language, file in files.items():
        start = end
        most = min(file.rows, settings.max_words or file.rows)
        blocks = _kept(file, language, _wanted(settings), most)
        for table, block in progress(blocks, file.expected_blocks, f"reading {file.path.name}", "blocks"):
            check_vectors(block, table["word"], f"{file.path} (rows counted from word {end - start})")
            stream.append(block)
            words.append(table)
            end += len(block)
        log.info("%s: %d words of width %d", file.path.name, end - start, file.dim)
    if not end:
        raise _nothing_left(settings)
    table = pl.concat(words)
    last = table.with_row_index("row").select(pl.col("row").last().over("language", "word") == pl.col("row")).to_series()
    if last.all():
        return table
    log.info("%d keys occur again later in the files: the last one wins", len(table) - int(last.sum()))
    stream.keep(np.flatnonzero(last.to_numpy()))
    return table.filter(last)


def _nothing_left(settings: VectorFiles) -> InputError:
    paths = settings.paths.values() if isinstance(settings.paths, dict) else [settings.paths]
    return InputError(
        f"no word remains in the languages {', '.join(_wanted(settings) or ['all'])}",
        where=", ".join(map(str, paths)),
        hint="check `languages`: ISO 639-3 codes such as 'tur'; in one file for all languages keys are 'tur:su'",
    )


def split_keys(keys: pl.DataFrame, language: str | None) -> pl.DataFrame:
    """Columns language, word of a file's keys.

    With a language, or a column `language`, a key is the word. Else (docs/methods.md, section 1): a key longer than four
    characters whose fourth is a colon begins with its language, any other key is English; `$` means a space.
    """
    if language is not None:
        return keys.select(pl.lit(language).alias("language"), word="key")
    if "language" in keys.columns:
        return keys.select("language", word="key")
    key = pl.col("key")
    prefixed = (key.str.len_chars() > 4) & (key.str.slice(3, 1) == ":")
    return keys.select(
        language=pl.when(prefixed).then(key.str.slice(0, 3)).otherwise(pl.lit("eng")),
        word=pl.when(prefixed).then(key.str.slice(4)).otherwise(key).str.replace_all("$", " ", literal=True),
    )


def _kept(file: VectorFile, language: str | None, wanted: list[str] | None, most: int) -> Iterator[tuple[pl.DataFrame, Floats]]:
    """The file's blocks without other languages and empty words, limited to `most` words."""
    found = 0
    for keys, block in file.blocks():
        table = split_keys(keys, language)
        keep = table["word"].str.strip_chars() != ""
        if wanted is not None:
            keep &= table["language"].str.slice(0, 3).is_in(wanted)
        if keep.all() and len(table) <= most - found:
            found += len(table)
            yield table, block
            continue
        rows = keep.arg_true().head(most - found)
        found += len(rows)
        yield table[rows], block[rows.to_numpy()]
        if found == most:
            return
