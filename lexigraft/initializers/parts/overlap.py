"""Which target tokens are also source tokens (OFA section 3.3: rows of shared tokens are copied)."""

from __future__ import annotations

import numpy as np
import polars as pl

from lexigraft.errors import InputError
from lexigraft.token_maps.token_map import Integers
from lexigraft.tokenizers.vocabulary import ROLES, Vocabulary


def overlap(source: Vocabulary, target: Vocabulary) -> Integers:
    """Source id of every target token that the source vocabulary has, -1 elsewhere; (V_t,) int64.

    Standardized strings are compared exactly first, then without regard to case; of duplicates the last id wins. Special
    tokens are matched by role, never by their string.

    Raises:
        InputError: no text token is shared, so nothing ties the target vocabulary to the source.
    """
    ids = _text_overlap(source, target)
    if not (ids >= 0).any():
        raise InputError(
            f"none of the {len(target)} target tokens is among the {len(source)} source tokens",
            where="target tokenizer",
            hint="check that the tokenizer is of the text you mean; a vocabulary that shares no token (not even digits or"
            " punctuation) with the source cannot be grafted by copying",
        )
    source_roles = {role: index for index, role in reversed(list(enumerate(source.roles))) if role in ROLES}
    for index, role in enumerate(target.roles):
        if role is not None:
            ids[index] = source_roles.get(role, -1)
    return ids


def _text_overlap(source: Vocabulary, target: Vocabulary) -> Integers:
    def text(vocabulary: Vocabulary, name: str) -> pl.DataFrame:
        table = pl.DataFrame({name: np.arange(len(vocabulary)), "surface": vocabulary.surfaces, "text": vocabulary.is_text})
        return table.filter("text").select(name, "surface", lower=pl.col("surface").str.to_lowercase())

    theirs, ours = text(source, "source"), text(target, "target")
    for key in ("surface", "lower"):
        found = theirs.select(key, pl.col("source").alias(f"by_{key}")).unique(key, keep="last", maintain_order=True)
        ours = ours.join(found, on=key, how="left", maintain_order="left")
    ours = ours.with_columns(found=pl.coalesce("by_surface", "by_lower").fill_null(-1))
    ids = np.full(len(target), -1, dtype=np.int64)
    ids[ours["target"].to_numpy()] = ours["found"].to_numpy()
    return ids
