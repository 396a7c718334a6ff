"""Tokenizing and packing sentences of 22 languages for pre-training, on one core."""

from __future__ import annotations

import os
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from benchmarks.harness import Arrays, Case, benchmark, cached
from benchmarks.real import sentences

LENGTH, VOCABULARY, BLOCK = 128, 40_000, 8192


@benchmark(
    "tokenizing and packing, 22 Bibles, one core",
    plain=f"one `encode_batch_fast` call per {BLOCK:,} sentences, ids joined and cut with numpy",
    goal=2.0,
)
def packing(fraction: float) -> Case:
    """Every language is cut to `fraction` of its sentences."""
    import pyarrow as pa

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pa.set_cpu_count(1)
    text = pl.read_parquet(cached("sentences-22.parquet", _write_sentences))
    made = Tokenizer.from_file(str(cached(f"unigram-22-{VOCABULARY}", _learn_tokenizer) / "tokenizer.json"))
    rows = text.group_by("language", maintain_order=True).len()
    texts = {
        language: text.filter(language=language)["text"][: round(count * fraction)].to_list()
        for language, count in rows.iter_rows()
    }

    def plain() -> Arrays:
        return {language: _packed(made, lines) for language, lines in texts.items()}

    def ours() -> Arrays:
        from lexigraft.pretraining.encoding import encode
        from lexigraft.pretraining.packing import SENTENCES_A_BLOCK, _Packing

        found = {}
        for language, lines in texts.items():
            blocks = (lines[start : start + SENTENCES_A_BLOCK] for start in range(0, len(lines), SENTENCES_A_BLOCK))
            batches = _Packing(LENGTH).batches(encode(made, blocks), Path(language))
            parts = [batch.column(0).flatten().to_numpy().reshape(-1, LENGTH) for batch in batches]
            found[language] = np.concatenate(parts)
        return found

    def same(one: Arrays, other: Arrays) -> str:
        for language in texts:
            assert len(one[language])
            assert np.array_equal(one[language], other[language][: len(one[language])]), language
        return f"all {sum(map(len, one.values())):,} sequences are equal"

    return Case(ours, plain, same)


def _packed(tokenizer: Tokenizer, lines: list[str]) -> np.ndarray:
    parts = []
    for start in range(0, len(lines), BLOCK):
        encodings = tokenizer.encode_batch_fast(lines[start : start + BLOCK])
        parts.append(np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int32))
    ids = np.concatenate(parts)
    return ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)


def _write_sentences(path: Path) -> None:
    sentences().select("language", "text").write_parquet(path)


def _learn_tokenizer(folder: Path) -> None:
    from lexigraft.artifacts import Provenance, write_table
    from lexigraft.tokenizers.build import write_tokenizer
    from lexigraft.tokenizers.settings import UnigramTokenizer

    with tempfile.TemporaryDirectory() as name:
        table = sentences().select("language", "sentence_id", "text")
        write_table(Path(name) / "sentences.parquet", table.gather_every(5), Provenance("corpus"))
        settings = UnigramTokenizer(kind="unigram", corpus="bench", vocab_size=VOCABULARY)
        write_tokenizer(settings, Path(name) / "sentences.parquet", folder, 0, 1, Provenance("tokenizer"))
