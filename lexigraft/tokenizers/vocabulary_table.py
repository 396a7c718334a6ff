"""Making the vocabulary table of any fast tokenizer."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.tokenizers.surfaces import surfaces
from lexigraft.tokenizers.vocabulary import SCHEMA

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)

_ATTRIBUTES = {"pad": "pad", "unk": "unk", "mask": "mask", "bos": "bos", "cls": "bos", "eos": "eos", "sep": "eos"}
"""Name of each token of transformers -> its role."""


def vocabulary_table(
    tokenizer: PreTrainedTokenizerFast, counts: NDArray[np.int64] | None = None, rows: int | None = None
) -> pl.DataFrame:
    """Return the table of a vocabulary: one row per token id, with the schema `vocabulary.SCHEMA`.

    Args:
        tokenizer: any fast tokenizer.
        counts: how often each token occurs, (V,) int64; null in the table where it was not counted.
        rows: number of rows of the model's embedding matrix; rows beyond the tokenizer's ids are listed as `special`.

    Raises:
        InputError: an id has no token or two, or exceeds the embedding rows; see also `surfaces.surfaces`.
    """
    tokens = tokens_by_id(tokenizer)
    if rows is not None and len(tokens) > rows:
        raise InputError(
            f"tokenizer ids beyond the embedding rows: ids go up to {len(tokens) - 1} ({tokens[-1]!r}), "
            f"the model has {rows} embedding rows",
            hint="the tokenizer is not this model's, or tokens were added to it without resizing the model",
        )
    roles = token_roles(tokenizer)
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    table = pl.DataFrame(
        {
            "id": range(len(tokens)),
            "token": tokens,
            "surface": surfaces(description, tokens),
            "role": [roles.get(index) for index in range(len(tokens))],
            "count": [None] * len(tokens) if counts is None else counts,
        },
        schema=SCHEMA,
    )
    return table if rows is None else pl.concat([table, _padding(len(tokens), rows)])


def tokens_by_id(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the tokens in the order of their ids, which must be 0 … V-1 without gaps.

    Raises:
        InputError: an id has no token, or two.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    by_id = {index: token for token, index in vocabulary.items()}
    if len(by_id) < len(vocabulary):
        token, index = next((token, index) for token, index in vocabulary.items() if by_id[index] != token)
        raise InputError(
            f"two tokens have the id {index}: {token!r} and {by_id[index]!r}", where=tokenizer.name_or_path or None
        )
    gaps = sorted(set(range(max(by_id) + 1)) - by_id.keys())
    if gaps:
        raise InputError(
            f"{len(gaps)} ids of the tokenizer have no token, the first is {gaps[0]}; its ids go up to {max(by_id)}",
            where=tokenizer.name_or_path or None,
            hint="give every id below the largest a token (such as '[unused1]') in tokenizer.json",
        )
    return [by_id[index] for index in range(len(by_id))]


def token_roles(tokenizer: PreTrainedTokenizerFast) -> dict[int, str]:
    """Return the role of each special token by its id, from the tokenizer's attributes.

    A token that has several roles (as `<|endoftext|>` in GPT-2) gets the last of pad, unk, mask, bos, eos.
    """
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    roles = dict.fromkeys(sorted(special | set(tokenizer.all_special_ids)), "special")
    for name, role in _ATTRIBUTES.items():
        if (index := getattr(tokenizer, f"{name}_token_id")) is not None:
            roles[index] = role
    return roles


def _padding(start: int, rows: int) -> pl.DataFrame:
    """Rows of the embedding matrix that no token has: matrices are often padded to a multiple of 8 or 64."""
    if rows > start:
        log.info("%d embedding rows but %d tokens: the last %d rows are padding", rows, start, rows - start)
    names = [f"<padding row {index}>" for index in range(start, rows)]
    columns = {"id": range(start, rows), "token": names, "surface": names, "role": ["special"] * len(names)}
    return pl.DataFrame({**columns, "count": [None] * len(names)}, schema=SCHEMA)
