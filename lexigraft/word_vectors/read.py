"""Word vectors read from files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance
from lexigraft.errors import InputError
from lexigraft.progress import progress
from lexigraft.word_vectors.formats import Floats, VectorFile, open_vectors
from lexigraft.word_vectors.settings import VectorFiles
from lexigraft.word_vectors.table import WordVectors, check_vectors, write_word_vectors

log = logging.getLogger(__name__)

_ROWS = 1 << 16


def write_vector_files(settings: VectorFiles, words_path: Path, vectors_path: Path, provenance: Provenance) -> None:
    """Read word vectors from files and write them (see `table.write_word_vectors`)."""
    write_word_vectors(read_vector_files(settings), words_path, vectors_path, provenance)


def read_vector_files(settings: VectorFiles) -> WordVectors:
    """Read the word vectors that the settings name, in the order of the files.

    A file for all languages has keys `iso3:word`, English words bare, and `$` for a space (the rule of ColexNet+), or a
    column `language`; in a file per language the keys are words. `languages` filters by ISO 639-3 code, `max_words` keeps
    the first so many words of each file after that. Of a key that occurs more than once the last one wins. Needs memory for
    the result and one block.

    Raises:
        InputError: a file is missing, empty, truncated, of an unknown format, not UTF-8, holds NaN or vectors of two widths,
            or no word is left.
    """
    paths = settings.paths if isinstance(settings.paths, dict) else {None: settings.paths}
    wanted = None if settings.languages is None else sorted({code[:3] for code in settings.languages})
    files = {
        language: open_vectors(Path(path), settings.format)
        for language, path in paths.items()
        if language is None or wanted is None or language[:3] in wanted
    }
    _check_same_width(list(files.values()))
    most = {language: min(file.rows, settings.max_words or file.rows) for language, file in files.items()}
    # pages that no row is written to are never touched, so an upper bound costs nothing
    vectors = np.empty((sum(most.values()), next((file.dim for file in files.values()), 0)), dtype=np.float32)
    words, end = [pl.DataFrame(schema={"language": pl.String, "word": pl.String})], 0
    for language, file in progress(files.items(), len(files), "word vectors", "files"):
        start = end
        for table, block in _kept(file, language, wanted, most[language]):
            check_vectors(block, table["word"], f"{file.path} (rows counted from word {end - start})")
            vectors[end : end + len(block)] = block
            words.append(table)
            end += len(block)
        log.info("%s: %d words of width %d", file.path.name, end - start, file.dim)
    if not end:
        raise InputError(
            f"no word is left in the languages {', '.join(wanted or ['all'])}",
            where=", ".join(str(path) for path in paths.values()),
            hint="check `languages`: ISO 639-3 codes such as 'tur'; in one file for all languages keys are 'tur:su'",
        )
    table, vectors = _last_of_each(pl.concat(words), vectors[:end])
    return WordVectors(table["language"], table["word"], np.zeros(len(table), dtype=np.int64), vectors)


def split_keys(keys: pl.DataFrame, language: str | None) -> pl.DataFrame:
    """Columns language, word of a file's keys.

    With a language, or a column `language`, a key is the word. Else (METHODS, section 1): a key longer than four characters
    whose fourth is a colon begins with its language, any other is English; `$` stands for a space.
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
    """The file's blocks without other languages and empty words, up to so many words."""
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


def _check_same_width(files: list[VectorFile]) -> None:
    for file in files[1:]:
        if file.dim != files[0].dim:
            raise InputError(
                f"vectors of two widths: {files[0].dim} and {file.dim}",
                where=f"{files[0].path}, {file.path}",
                hint="vectors of all languages must be of one space and width",
            )


def _last_of_each(table: pl.DataFrame, vectors: Floats) -> tuple[pl.DataFrame, Floats]:
    """Rows whose language and word do not come again; the vectors are moved together in place, block by block."""
    last = table.with_row_index("row").select(pl.col("row").last().over("language", "word") == pl.col("row")).to_series()
    if last.all():
        return table, vectors
    rows: NDArray[np.intp] = np.flatnonzero(last.to_numpy())
    log.info("%d keys occur again later in the files: the last one wins", len(table) - len(rows))
    for start in range(0, len(rows), _ROWS):
        # never overtakes itself: row number i comes from row i or a later one
        block = vectors[rows[start : start + _ROWS]]
        vectors[start : start + len(block)] = block
    return table.filter(last), vectors[: len(rows)]
