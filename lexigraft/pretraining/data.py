"""Pre-training data: sentences tokenised, joined and cut to sequences of one length."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lexigraft.artifacts import Provenance, scan_table, write_table
from lexigraft.errors import ArtifactError, InputError, nearest
from lexigraft.progress import progress

log = logging.getLogger(__name__)

SENTENCES_A_BLOCK = 1 << 20
_TEXTS_A_BATCH = 1 << 13
_SEQUENCES_A_ROW_GROUP = 1 << 14


@dataclass(frozen=True, slots=True)
class LanguageRows:
    """Where a language's sentences stand in the table, and how many of them are used (more than there are: repeated)."""

    language: str
    first: int
    rows: int
    used: int


def write_pretraining_data(
    sentences_path: Path,
    tokenizer_folder: Path,
    out_path: Path,
    counts_path: Path,
    *,
    languages: Sequence[str] | None,
    sampling_exponent: float,
    length: int,
    seed: int,
    provenance: Provenance,
) -> None:
    """Write a corpus as sequences of exactly `length` tokens.

    Every sentence is tokenised with the special tokens that the tokenizer's post-processor puts around it. Sentences are
    shuffled in blocks of a million, each of which holds every language in the same proportion, then joined and cut; a
    remainder shorter than a sequence is dropped. Memory is bounded by a block.

    Args:
        sentences_path: the corpus stage's table (language, sentence_id, text).
        tokenizer_folder: has `tokenizer.json`.
        out_path: table with the column `tokens`, an array of `length` int32 in each row.
        counts_path: table of what the sequences hold: language, sentences, tokens (special ones included), int64. `sentences`
            counts those that were tokenised, `tokens` those that were written.
        languages: those to use, None for all of the corpus.
        sampling_exponent: alpha of the languages' shares of the sentences, p ~ n^alpha; 1 takes all sentences once.
        length: tokens a sequence.
        seed: of the shuffle.
        provenance: of both tables.

    Raises:
        InputError: a language has no sentences, or the text is shorter than one sequence.
        ArtifactError: the corpus is damaged.
    """
    rows = _languages(sentences_path, languages, sampling_exponent)
    tokenizer = load_tokenizer(tokenizer_folder)
    packing = _Packing(length, [one.language for one in rows])
    sentences = sum(one.used for one in rows)
    log.info("packing %d sentences of %d languages into sequences of %d tokens", sentences, len(rows), length)
    batches = _tokenised(sentences_path, rows, tokenizer, seed)
    write_table(out_path, _row_groups(packing.pack(batches, sentences_path), length), provenance)
    write_table(counts_path, packing.counts(), provenance)
    for language, number, tokens in packing.counts().iter_rows():
        log.info("%s: %d sentences, %d tokens", language, number, tokens)
    log.info("%d sequences, %d tokens; %d left over", packing.sequences, packing.sequences * length, packing.left_over)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load `tokenizer.json` of a folder, without truncation and padding.

    Raises:
        InputError: it is missing or cannot be read.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError("there is no tokenizer.json", where=folder, hint="ask snakemake for this file by its name to make it")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises plain Exception
        raise InputError(f"the tokenizer cannot be read ({error})", where=path, hint="make it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.num_special_tokens_to_add(False) == 0:
        log.warning("%s puts no special tokens around sentences: nothing will separate them", path)
    return tokenizer


def _languages(path: Path, wanted: Sequence[str] | None, exponent: float) -> list[LanguageRows]:
    """Rows of each language; the table holds one language after the other."""
    table = scan_table(path, "corpus").select("language").with_row_index("row")
    row = pl.col("row").cast(pl.Int64)
    found = (
        table.group_by("language").agg(first=row.min(), last=row.max(), rows=row.len().cast(pl.Int64)).sort("first").collect()
    )
    if (found["last"] - found["first"] + 1 != found["rows"]).any():
        raise ArtifactError("the languages of the corpus are mixed", where=path, hint="delete the file and make it again")
    held: dict[str, tuple[int, int]] = {language: (first, rows) for language, first, _, rows in found.iter_rows()}
    missing = [language for language in wanted or () if language not in held]
    if missing:
        raise InputError(
            f"the corpus has no sentences in {', '.join(map(repr, missing))}",
            where=path,
            hint=f"{nearest(missing[0], held)} (`languages` of the pre-training, or the corpus)",
        )
    if not held:
        raise InputError("the corpus has no sentences", where=path, hint="give a corpus with text")
    chosen = list(wanted or held)
    sizes = np.array([held[language][1] for language in chosen], dtype=np.float64)
    shares = sizes**exponent / np.sum(sizes**exponent)
    used = sizes if exponent == 1.0 else np.maximum(np.rint(sizes.sum() * shares), 1.0)
    return [
        LanguageRows(language, first=held[language][0], rows=held[language][1], used=int(count))
        for language, count in zip(chosen, used, strict=True)
    ]


def _tokenised(
    path: Path, languages: list[LanguageRows], tokenizer: Tokenizer, seed: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int16]]]:
    """Yield tokens (n,), sentence lengths (m,) and languages of the sentences (m,) of shuffled batches of sentences."""
    total = sum(rows.used for rows in languages)
    blocks = -(-total // SENTENCES_A_BLOCK)
    batches = (
        batch
        for block in range(blocks)
        for batch in _shuffled(path, languages, block, blocks, np.random.default_rng([seed, block]))
    )
    sizes = [sum(stop - start for start, stop in _parts(languages, block, blocks)) for block in range(blocks)]
    expected = sum(-(-size // _TEXTS_A_BATCH) for size in sizes)
    for texts, of_language in progress(batches, expected, "tokenising", "batches"):
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        yield np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum())), lengths, of_language


def _parts(languages: list[LanguageRows], block: int, blocks: int) -> list[tuple[int, int]]:
    """First and last + 1 of each language's sentences in a block."""
    return [(rows.used * block // blocks, rows.used * (block + 1) // blocks) for rows in languages]


def _shuffled(
    path: Path, languages: list[LanguageRows], block: int, blocks: int, rng: np.random.Generator
) -> Iterator[tuple[list[str], NDArray[np.int16]]]:
    """Yield texts and their languages' indices: the block's part of every language, shuffled."""
    parts = []
    for index, (rows, (start, stop)) in enumerate(zip(languages, _parts(languages, block, blocks), strict=True)):
        while start < stop:
            # repeated languages start again at their first sentence
            offset = start % rows.rows
            count = min(stop - start, rows.rows - offset)
            text = pl.scan_parquet(path).slice(rows.first + offset, count).select("text")
            parts.append(text.with_columns(index=pl.lit(index, pl.Int16)).collect())
            start += count
    table = pl.concat(parts)
    table = table[rng.permutation(len(table))]
    for batch in table.iter_slices(_TEXTS_A_BATCH):
        yield batch["text"].to_list(), batch["index"].to_numpy()


@dataclass(slots=True)
class _Packing:
    """Cuts a stream of sentences to sequences and counts what goes into them."""

    length: int
    languages: list[str]
    sequences: int = 0
    left_over: int = 0
    sentences_of: NDArray[np.int64] = field(init=False)
    tokens_of: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.sentences_of = np.zeros(len(self.languages), np.int64)
        self.tokens_of = np.zeros(len(self.languages), np.int64)

    def pack(
        self, batches: Iterator[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int16]]], where: Path
    ) -> Iterator[NDArray[np.int32]]:
        """Yield (n, length) arrays of sequences.

        Raises:
            InputError: all batches together are shorter than one sequence.
        """
        rest, rest_languages = np.empty(0, np.int32), np.empty(0, np.int16)
        for tokens, lengths, of_language in batches:
            tokens = np.concatenate([rest, tokens])
            languages = np.concatenate([rest_languages, np.repeat(of_language, lengths)])
            whole = len(tokens) // self.length * self.length
            self.sentences_of += np.bincount(of_language, minlength=len(self.languages))
            self.tokens_of += np.bincount(languages[:whole], minlength=len(self.languages))
            self.sequences += whole // self.length
            rest, rest_languages = tokens[whole:], languages[whole:]
            self.left_over = len(rest)
            yield tokens[:whole].reshape(-1, self.length)
        if self.sequences == 0:
            raise InputError(
                f"the corpus has {self.left_over} tokens, less than one sequence of {self.length}",
                where=where,
                hint="give more text, or a smaller `length`",
            )

    def counts(self) -> pl.DataFrame:
        return pl.DataFrame({"language": self.languages, "sentences": self.sentences_of, "tokens": self.tokens_of})


def _row_groups(sequences: Iterator[NDArray[np.int32]], length: int) -> Iterator[pl.DataFrame]:
    """Gather sequences to blocks of one size, so that the file does not depend on how they came."""
    waiting: list[NDArray[np.int32]] = []
    count = 0
    for part in sequences:
        waiting.append(part)
        count += len(part)
        while count >= _SEQUENCES_A_ROW_GROUP:
            gathered = np.concatenate(waiting)
            yield _frame(gathered[:_SEQUENCES_A_ROW_GROUP], length)
            waiting = [gathered[_SEQUENCES_A_ROW_GROUP:]]
            count = len(waiting[0])
    if count:
        yield _frame(np.concatenate(waiting), length)


def _frame(sequences: NDArray[np.int32], length: int) -> pl.DataFrame:
    return pl.DataFrame({"tokens": pl.Series(sequences, dtype=pl.Array(pl.Int32, length))})
