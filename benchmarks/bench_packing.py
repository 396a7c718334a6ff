"""Tokenizing and packing sentences of 22 languages for pre-training, on one core."""

from __future__ import annotations

import os
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Arrays, Case, benchmark, cached
from benchmarks.real import sentences

LENGTH, VOCABULARY = 128, 40_000
PLAIN_SHARE = 0.1
FIRST = 1000
"""Sentences of a batch of `datasets.map`, whose tokens are compared."""


@benchmark("tokenizing and packing, 22 Bibles, one core", plain="datasets.map in one process, as in run_mlm.py", goal=5.0)
def packing(fraction: float) -> Case:
    """Every language is cut to `fraction` of its sentences; the plain way takes a tenth of these."""
    import pyarrow as pa

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    pa.set_cpu_count(1)
    text = pl.read_parquet(cached("sentences-22.parquet", _write_sentences))
    tokenizer = cached(f"unigram-22-{VOCABULARY}", _learn_tokenizer)
    rows = text.group_by("language", maintain_order=True).len()
    texts = {
        language: text.filter(language=language)["text"][: round(count * fraction)].to_list()
        for language, count in rows.iter_rows()
    }
    first = next(iter(texts))

    def plain() -> Arrays:
        parts = {language: lines[: max(FIRST, round(len(lines) * PLAIN_SHARE))] for language, lines in texts.items()}
        with tempfile.TemporaryDirectory() as folder:
            found = {language: _by_datasets(lines, tokenizer, Path(folder), language) for language, lines in parts.items()}
        return {"first": found[first][: _whole(texts[first][:FIRST])]}

    def ours() -> Arrays:
        from tokenizers import Tokenizer

        from lexigraft.pretraining.encoding import encode
        from lexigraft.pretraining.packing import SENTENCES_A_BLOCK, _Packing

        made = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        kept = np.empty(0, np.int32)
        for language, lines in texts.items():
            blocks = (lines[start : start + SENTENCES_A_BLOCK] for start in range(0, len(lines), SENTENCES_A_BLOCK))
            for batch in _Packing(LENGTH).batches(encode(made, blocks), Path(language)):
                if language == first and not len(kept):
                    kept = batch.column(0).flatten().to_numpy().reshape(-1, LENGTH)
        return {"first": kept}

    def _whole(lines: list[str]) -> int:
        from tokenizers import Tokenizer

        made = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        return sum(len(encoding.ids) for encoding in made.encode_batch_fast(lines)) // LENGTH

    def same(one: Arrays, other: Arrays) -> str:
        count = min(len(one["first"]), len(other["first"]))
        assert count
        assert (one["first"][:count] == other["first"][:count]).all()
        return f"the first {count:,} sequences are equal"

    def before(side: str) -> None:
        if side == "plain":  # what it imports takes seconds
            with tempfile.TemporaryDirectory() as folder:
                _by_datasets(texts[first][:FIRST], tokenizer, Path(folder), first)

    done = sum(max(FIRST, round(len(lines) * PLAIN_SHARE)) for lines in texts.values())
    return Case(ours, plain, same, plain_share=done / sum(map(len, texts.values())), before=before)


def _by_datasets(lines: list[str], tokenizer: Path, folder: Path, language: str) -> np.ndarray:
    """Tokenize and group as the example run_mlm.py of transformers does."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PreTrainedTokenizerFast

    disable_progress_bars()
    made: Any = PreTrainedTokenizerFast.from_pretrained(tokenizer)

    def tokenize(rows: dict[str, list[str]]) -> Any:
        return made(rows["text"], return_special_tokens_mask=True)

    def group(rows: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {key: list(chain(*rows[key])) for key in rows}
        total = len(joined["input_ids"]) // LENGTH * LENGTH
        return {key: [ids[start : start + LENGTH] for start in range(0, total, LENGTH)] for key, ids in joined.items()}

    options = {"batched": True, "load_from_cache_file": False}
    data = Dataset.from_dict({"text": lines})
    data = data.map(tokenize, remove_columns=["text"], cache_file_name=str(folder / f"{language}-1.arrow"), **options)
    data = data.map(group, cache_file_name=str(folder / f"{language}-2.arrow"), **options)
    return data.with_format("numpy")["input_ids"][:].astype(np.int32)


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
