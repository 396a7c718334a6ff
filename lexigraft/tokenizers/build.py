"""The tokenizer stage: makes a target tokenizer, counts its tokens on the corpus and writes the artifact."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lexigraft.artifacts import Provenance, with_companions, write_table
from lexigraft.errors import ConfigError
from lexigraft.files.checksums import check_digests
from lexigraft.files.references import resolve, source_files
from lexigraft.tokenizers.counting import count_tokens
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.extension.build import extend_tokenizer
from lexigraft.tokenizers.fast import TOKENIZER_FILES, fast_tokenizer, role_attributes, write_tokenizer_files
from lexigraft.tokenizers.load import load_tokenizer
from lexigraft.tokenizers.sentences import scan_sentences
from lexigraft.tokenizers.settings import ExistingTokenizer, TokenizerSettings, UnigramTokenizer
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS, text_front_end, train_pieces, unigram_tokenizer
from lexigraft.tokenizers.vocabulary_table import vocabulary_table
from lexigraft.tokenizers.words import count_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)


def write_tokenizer(
    settings: TokenizerSettings,
    sentences_path: Path | None,
    folder: Path,
    seed: int,
    threads: int,
    provenance: Provenance,
    source_folder: Path | None = None,
) -> None:
    """Make a target tokenizer and write `tokenizer.json`, `tokenizer_config.json` and `vocabulary.parquet`.

    The same settings, text and seed give the same bytes, whatever the number of threads.

    Args:
        settings: what to make.
        sentences_path: `sentences.parquet` of the corpus: text to learn from and to count tokens on; None for an
            existing tokenizer whose tokens are not counted.
        folder: output folder; other files in it are not touched.
        seed: of the sample of sentences, if `max_sentences` is set.
        threads: for segmenting; learning runs on one thread.
        provenance: of the table.
        source_folder: artifact of the source model that an extension builds on.

    Raises:
        InputError: the corpus is empty or too small, or a tokenizer cannot be used.
        ArtifactError: the corpus or the source is damaged.
        ConfigError: an extension without a source.
    """
    # read by the thread pool of `tokenizers` when it starts
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    tokenizer = _make(settings, sentences_path, seed, source_folder)
    table = vocabulary_table(tokenizer)
    if sentences_path is not None:
        table = table.with_columns(count=count_tokens(tokenizer, sentences_path))
    write_tokenizer_files(tokenizer, folder)
    write_table(folder / "vocabulary.parquet", table, with_companions(provenance, folder, TOKENIZER_FILES))
    log.info("wrote %d tokens, %d of them special", len(table), table["role"].count())


def _make(
    settings: TokenizerSettings, sentences_path: Path | None, seed: int, source_folder: Path | None
) -> PreTrainedTokenizerFast:
    if isinstance(settings, ExistingTokenizer):
        path = resolve(settings.path, settings.revision, weights=False)
        if settings.sha256 is not None:
            check_digests(source_files(str(path)), settings.sha256, f"tokenizer {settings.path}")
        return open_tokenizer(path)
    if sentences_path is None:
        raise ConfigError("a tokenizer is learned from text, but none was given", where="tokenizers", hint="set its `corpus`")
    if isinstance(settings, UnigramTokenizer):
        words = count_words(text_front_end(), scan_sentences(sentences_path, None, settings.max_sentences, seed))
        pieces = train_pieces(words, settings.vocab_size, settings.character_coverage)
        attributes = {**role_attributes(SPECIAL_TOKENS), "model_input_names": ["input_ids", "attention_mask"]}
        return fast_tokenizer(unigram_tokenizer(pieces), attributes)
    if source_folder is None:
        raise ConfigError("an extension builds on a source, but none was given", where="tokenizers", hint="set its `source`")
    sentences = scan_sentences(sentences_path, settings.languages, settings.max_sentences, seed)
    return extend_tokenizer(load_tokenizer(source_folder), sentences, settings.new_tokens, settings.character_coverage)
