"""Reading the sentences of a corpus for tokenizers: by language, in blocks, as a seeded sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from lexigraft.artifacts import check, scan_table
from lexigraft.errors import InputError, nearest

CORPUS_STAGE = "corpus"


def scan_sentences(
    path: Path, languages: Sequence[str] | None = None, max_sentences: int | None = None, seed: int = 0
) -> pl.LazyFrame:
    """Return the text of a corpus as a lazy frame with the column `text`.

    Args:
        path: `sentences.parquet` of a corpus.
        languages: keep only these (all by default).
        max_sentences: size of a random sample drawn with `seed`; the order of sentences is preserved.
        seed: of the sample.

    Raises:
        ArtifactError: the file is damaged.
        InputError: the corpus has no sentence, or none in one of the languages.
    """
    frame = scan_table(path, CORPUS_STAGE)
    sizes = dict(frame.group_by("language").len().collect().iter_rows())
    for language in languages or []:
        if language not in sizes:
            raise InputError(f"the corpus has no sentence in {language!r}; {nearest(language, sizes)}", where=path)
    if languages is not None:
        frame = frame.filter(pl.col("language").is_in(list(languages)))
    total = sum(size for language, size in sizes.items() if languages is None or language in languages)
    if total == 0:
        raise InputError("the corpus is empty: there is no text to learn a tokenizer on", where=path, hint="add text to it")
    frame = frame.select("text")
    if max_sentences is None or max_sentences >= total:
        return frame
    chosen = np.sort(np.random.default_rng(seed).choice(total, size=max_sentences, replace=False))
    return frame.with_row_index().filter(pl.col("index").is_in(pl.lit(pl.Series(chosen)).implode())).select("text")


def text_blocks(path: Path, block: int) -> Iterator[list[str]]:
    """Return an iterator over the texts of a corpus, at most `block` sentences at a time.

    Raises:
        ArtifactError: the file is damaged; raised here, not when the iterator is used.
    """
    check(path, CORPUS_STAGE)
    return _text_blocks(path, block)


def _text_blocks(path: Path, block: int) -> Iterator[list[str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=block, columns=["text"]):
            yield batch.column(0).to_pylist()


def count_sentences(path: Path) -> int:
    """Return the number of sentences of a corpus from its footer; the file is not verified."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
