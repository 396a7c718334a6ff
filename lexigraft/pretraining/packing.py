"""Pre-training data: the sentences of one language tokenized, joined, and cut to sequences of one length."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lexigraft.artifacts import Provenance, identity, scan_table, write_arrow
from lexigraft.errors import ArtifactError, InputError, nearest
from lexigraft.pretraining.encoding import Ids, LooksAcrossSpacesError, encode
from lexigraft.progress import progress

log = logging.getLogger(__name__)

STAGE = "pretraining_data"
SENTENCES_A_BLOCK = 1 << 15
SEQUENCES_A_BATCH = 1 << 10


def write_shard(
    sentences_path: Path,
    tokenizer_folder: Path,
    out_path: Path,
    *,
    language: str,
    max_sentences: int | None,
    length: int,
    provenance: Provenance,
) -> None:
    """Write a language of a corpus as sequences of exactly `length` tokens, in the order of the corpus.

    Every sentence is tokenized with the special tokens that the tokenizer's post-processor puts around it; a remainder shorter
    than a sequence is dropped. Memory is bounded by a block of sentences, whatever the size of the corpus.

    Args:
        sentences_path: the corpus stage's table (language, sentence_id, text).
        tokenizer_folder: has `tokenizer.json`.
        out_path: Arrow file with the columns `tokens`, `length` int32 in each row, and `sentences`, int32, the number of
            sentences that begin in the row. Its metadata names language, length and tokenizer.
        max_sentences: how many of the first sentences are used; None for all.

    Raises:
        InputError: the language has no sentences, or its text is shorter than one sequence.
        ArtifactError: the corpus is damaged.
    """
    first, rows = _rows_of(sentences_path, language)
    used = rows if max_sentences is None else min(rows, max_sentences)
    tokenizer = open_tokenizer(tokenizer_folder)
    metadata = {"language": language, "length": length, "tokenizer_sha256": tokenizer_digest(tokenizer_folder)}
    log.info("%s: packing %d of %d sentences into sequences of %d tokens", language, used, rows, length)
    try:
        _write(out_path, sentences_path, first, used, tokenizer, metadata, provenance, fast=True)
    except LooksAcrossSpacesError:
        log.warning("a sentence has other tokens than its words have: starting again, sentence by sentence")
        _write(out_path, sentences_path, first, used, tokenizer, metadata, provenance, fast=False)


def schema_of(length: int) -> pa.Schema:
    """Columns of a shard."""
    return pa.schema([pa.field("tokens", pa.list_(pa.int32(), length)), pa.field("sentences", pa.int32())])


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 of `tokenizer.json` in a folder, which says whose ids a shard holds."""
    return identity(folder / "tokenizer.json")


def open_tokenizer(folder: Path) -> Tokenizer:
    """Load `tokenizer.json` of a folder, without truncation and padding.

    Raises:
        InputError: it is missing or cannot be read.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError("there is no tokenizer.json", where=folder, hint="ask snakemake for this file by its name to build it")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises plain Exception
        raise InputError(f"the tokenizer cannot be read ({error})", where=path, hint="make it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.num_special_tokens_to_add(False) == 0:
        log.warning("%s puts no special tokens around sentences: nothing will separate them", path)
    return tokenizer


def _rows_of(path: Path, language: str) -> tuple[int, int]:
    """First row of a language and their number; the table holds one language after the other."""
    table = scan_table(path, "corpus").select("language").with_row_index("row")
    row = pl.col("row").cast(pl.Int64)
    found = table.group_by("language").agg(first=row.min(), last=row.max(), rows=row.len().cast(pl.Int64))
    held = {name: (first, last, rows) for name, first, last, rows in found.collect(engine="streaming").iter_rows()}
    if any(last - first + 1 != rows for first, last, rows in held.values()):
        raise ArtifactError("the languages of the corpus are mixed", where=path, hint="delete the file and make it again")
    if not held:
        raise InputError("the corpus has no sentences", where=path, hint="give a corpus with text")
    if language not in held:
        raise InputError(
            f"the corpus has no sentences in {language!r}",
            where=path,
            hint=f"{nearest(language, held)} (`languages` of the pre-training, or the corpus)",
        )
    first, _, rows = held[language]
    return first, rows


def _write(
    out_path: Path,
    sentences_path: Path,
    first: int,
    used: int,
    tokenizer: Tokenizer,
    metadata: Mapping[str, Any],
    provenance: Provenance,
    *,
    fast: bool,
) -> None:
    length = metadata["length"]
    blocks = progress(_blocks(sentences_path, first, used), -(-used // SENTENCES_A_BLOCK), "tokenizing", "blocks")
    packing = _Packing(length)
    batches = packing.batches(encode(tokenizer, blocks, fast), sentences_path)
    write_arrow(out_path, schema_of(length), batches, provenance, metadata)
    log.info(
        "%d sentences, %d tokens: %d sequences, %d remaining tokens",
        *(packing.sentences, packing.sequences * length + packing.remaining, packing.sequences, packing.remaining),
    )


def _blocks(path: Path, first: int, count: int) -> Iterator[list[str]]:
    """Texts of rows first … first + count - 1, in blocks of `SENTENCES_A_BLOCK`; row groups before them are not read."""
    table = pq.ParquetFile(path, pre_buffer=False)  # buffered beforehand, all row groups would be in memory at once
    sizes = [table.metadata.row_group(index).num_rows for index in range(table.metadata.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    wanted = [index for index in range(len(sizes)) if starts[index] < first + count and starts[index + 1] > first]
    row = int(starts[wanted[0]])
    waiting: list[str] = []
    for batch in table.iter_batches(SENTENCES_A_BLOCK, row_groups=wanted, columns=["text"]):
        low, high = max(first - row, 0), min(first + count - row, len(batch))
        row += len(batch)
        if low < high:
            waiting += batch.column(0).slice(low, high - low).to_pylist()
        while len(waiting) >= SENTENCES_A_BLOCK:
            yield waiting[:SENTENCES_A_BLOCK]
            waiting = waiting[SENTENCES_A_BLOCK:]
    if waiting:
        yield waiting


class _Packing:
    """Cuts a stream of sentences to sequences and counts them."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.sentences = self.sequences = self.remaining = 0

    def batches(self, blocks: Iterator[Ids], where: Path) -> Iterator[pa.RecordBatch]:
        """Yield batches of `SEQUENCES_A_BATCH` sequences, the last one smaller.

        Raises:
            InputError: all blocks together are shorter than one sequence.
        """
        tokens, begins = np.empty(0, np.int32), np.empty(0, np.int32)
        unit = self.length * SEQUENCES_A_BATCH
        for ids in blocks:
            self.sentences += len(ids.lengths)
            tokens = np.concatenate([tokens, ids.flat])
            begun = np.zeros(len(ids.flat), np.int32)
            np.add.at(begun, (np.cumsum(ids.lengths) - ids.lengths)[ids.lengths > 0], 1)
            begins = np.concatenate([begins, begun])
            whole = len(tokens) // unit * unit
            for start in range(0, whole, unit):
                yield self._batch(tokens[start : start + unit], begins[start : start + unit])
            tokens, begins = tokens[whole:], begins[whole:]
        whole = len(tokens) // self.length * self.length
        self.remaining = len(tokens) - whole
        if whole:
            yield self._batch(tokens[:whole], begins[:whole])
        if self.sequences == 0:
            raise InputError(
                f"the text has {self.remaining} tokens, less than one sequence of {self.length}",
                where=where,
                hint="give more text, leave the language out, or set a smaller `length`",
            )

    def _batch(self, tokens: NDArray[np.int32], begins: NDArray[np.int32]) -> pa.RecordBatch:
        sentences = begins.reshape(-1, self.length).sum(1, dtype=np.int32)
        self.sequences += len(sentences)
        arrays = [pa.FixedSizeListArray.from_arrays(pa.array(tokens), self.length), pa.array(sentences)]
        return pa.record_batch(arrays, schema=schema_of(self.length))
