"""Fertility of a tokenizer: into how many tokens it cuts a word.

Rust et al. 2021, section 4.1, https://aclanthology.org/2021.acl-long.243.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import InputError
from lexigraft.languages import writes_spaces
from lexigraft.tokenizers.load import load_tokenizer

log = logging.getLogger(__name__)

STAGE = "fertility"
FERTILITY = pl.Schema(
    {"language": pl.String}
    | dict.fromkeys(("sentences", "words", "characters", "bytes", "tokens", "unknown"), pl.Int64)
    | dict.fromkeys(("tokens_per_word", "characters_per_token"), pl.Float64)
)
"""Counts over a language's sentences and their two ratios. Words are what spaces separate, null in scripts without spaces;
characters are code points, spaces among them; tokens do not include special ones, `unknown` are unknown tokens."""
_BLOCK = 1 << 13


def write_fertility(sentences: Path, tokenizer_folder: Path, path: Path, provenance: Provenance) -> None:
    """Count tokens of the held-out sentences in every language and write `FERTILITY`.

    Args:
        sentences: `held_out.parquet` of a corpus.
        tokenizer_folder: with `tokenizer.json` and `tokenizer_config.json`.
        path: of the table, languages in the order of the corpus.
        provenance: of the table.

    Raises:
        InputError: the corpus has no held-out sentences.
        ArtifactError: sentences or tokenizer are damaged.
    """
    table = read_table(sentences, "corpus", ["language", "text"])
    if table.is_empty():
        raise InputError("the corpus has no held-out sentences", where=sentences, hint="set its `held_out`")
    tokenizer = load_tokenizer(tokenizer_folder)
    parts = [fertility(tokenizer, rows["text"], str(code)) for (code,), rows in table.group_by("language", maintain_order=True)]
    found = pl.concat(parts)
    for ratios in found.select("language", "tokens_per_word", "characters_per_token").iter_rows():
        log.info("%s: tokens per word %s, characters per token %s", *ratios)
    write_table(path, found, provenance)


def fertility(tokenizer: Any, texts: pl.Series, language: str) -> pl.DataFrame:
    """`FERTILITY` of one language, a single row.

    Args:
        tokenizer: a fast one of transformers.
        texts: sentences.
        language: its code.
    """
    tokens = unknown = 0
    for first in range(0, len(texts), _BLOCK):
        encodings = tokenizer.backend_tokenizer.encode_batch(texts[first : first + _BLOCK].to_list(), add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in encodings)
        if tokenizer.unk_token_id is not None:
            unknown += sum(encoding.ids.count(tokenizer.unk_token_id) for encoding in encodings)
    words = int(texts.str.count_matches(r"\S+").sum()) if writes_spaces(language) else None
    characters = int(texts.str.len_chars().sum())
    row = {
        "language": language,
        "sentences": len(texts),
        "words": words,
        "characters": characters,
        "bytes": int(texts.str.len_bytes().sum()),
        "tokens": tokens,
        "unknown": unknown,
        "tokens_per_word": tokens / words if words else None,
        "characters_per_token": characters / tokens if tokens else None,
    }
    return pl.DataFrame([row], schema=FERTILITY)
