"""Words of running text, in scripts with and without spaces."""

from __future__ import annotations

import polars as pl

_WORD = r"\w+(?:['’\-]\w+)*"


def spaced_words(text: pl.DataFrame) -> pl.DataFrame:
    """Runs of letters and digits, joined by apostrophes and hyphens.

    Args:
        text: a column `text`, and any others.

    Returns:
        one row per word, in the order of the text: the other columns, and `word`.
    """
    return _found(text, _WORD)


def unspaced_words(text: pl.DataFrame) -> pl.DataFrame:
    """Substitutes for words in scripts without spaces: every letter or digit, then every two neighbors.

    Arguments and result are those of `spaced_words`.
    """
    spans = _found(text, r"\w+").with_row_index("span")
    characters = spans.with_columns(pl.col("word").str.extract_all(r"\w")).explode("word").drop_nulls("word")
    pairs = characters.with_columns(word=pl.col("word") + pl.col("word").shift(-1).over("span")).drop_nulls("word")
    return pl.concat([characters, pairs]).drop("span")


def _found(text: pl.DataFrame, pattern: str) -> pl.DataFrame:
    lists = text.select(pl.exclude("text"), word=pl.col("text").str.extract_all(pattern))
    return lists.explode("word").drop_nulls("word")
