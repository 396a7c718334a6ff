"""Extending a source tokenizer: new pieces inside its own model, so that they take part in segmentation.

`add_tokens` is no substitute: added tokens are cut out of the text before the model sees it, whatever surrounds them, and
hundreds of thousands of them take minutes to load.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from lexigraft.errors import InputError
from lexigraft.tokenizers.extension.bpe import extend_bpe
from lexigraft.tokenizers.extension.unigram import extend_unigram
from lexigraft.tokenizers.extension.wordpiece import extend_wordpiece
from lexigraft.tokenizers.fast import configuration, fast_tokenizer
from lexigraft.tokenizers.vocabulary_table import tokens_by_id
from lexigraft.tokenizers.words import WordCounts, count_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)

_EXTENDERS: dict[str, Callable[[Mapping[str, Any], WordCounts, int, float], dict[str, Any]]] = {
    "WordPiece": extend_wordpiece,
    "BPE": extend_bpe,
    "Unigram": extend_unigram,
}


def extend_tokenizer(
    source: PreTrainedTokenizerFast, sentences: pl.LazyFrame, new_tokens: int, coverage: float
) -> PreTrainedTokenizerFast:
    """Return the source tokenizer with `new_tokens` pieces learned on `sentences`; its ids stay, new ones follow.

    Args:
        source: a fast tokenizer with a WordPiece, BPE or unigram model.
        sentences: a lazy frame with the column `text`.
        new_tokens: number of pieces to add.
        coverage: share of the characters in the text that get a piece.

    Raises:
        InputError: the model is of another kind, its ids have gaps, or the text has fewer new pieces.
    """
    description = with_added_tokens_inside(json.loads(source.backend_tokenizer.to_str()), tokens_by_id(source))
    kind = description["model"].get("type")
    if kind not in _EXTENDERS:
        raise InputError(f"a tokenizer with a {kind} model cannot be extended", hint=f"extend one of {sorted(_EXTENDERS)}")
    words = count_words(source.backend_tokenizer, sentences)
    log.info("extending a %s tokenizer of %d tokens by %d", kind, len(source), new_tokens)
    extended = _EXTENDERS[kind](description, words, new_tokens, coverage)
    from tokenizers import Tokenizer

    attributes = configuration(source)
    del attributes["tokenizer_class"]
    return fast_tokenizer(Tokenizer.from_str(json.dumps(extended)), attributes)


def with_added_tokens_inside(description: Mapping[str, Any], tokens: list[str]) -> dict[str, Any]:
    """Return the description with every token, added ones too, in the model's own vocabulary at its id.

    Ids of added tokens that only follow the model's vocabulary would move when that grows.

    Args:
        description: the content of `tokenizer.json`.
        tokens: all tokens by id.
    """
    model = dict(description["model"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {token: index for index, token in enumerate(tokens)}
    else:
        model["vocab"] = [*model["vocab"], *([token, 0.0] for token in tokens[len(model["vocab"]) :])]
    return {**description, "model": model}
