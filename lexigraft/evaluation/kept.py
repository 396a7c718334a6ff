"""Results of languages that stand already, so that adding a language computes that one only.

A table of results has, besides `language`, a column `made_from`: a digest of everything that the language's rows follow from.
When the table is made anew, rows of languages whose digest is still the same are taken from the old one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.errors import ArtifactError


def digest_of(*parts: Any) -> str:
    """Digest of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def standing(path: Path, stage: str, schema: pl.Schema, keys: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    """Rows of the languages of an earlier table that are still right.

    Args:
        path: the table, if there is one; a missing or damaged one has nothing to keep.
        stage: that made it.
        schema: that it must have, with `language` and `made_from`.
        keys: language -> digest that its rows must have.

    Returns:
        language -> its rows, in the order of `keys`.
    """
    with suppress(ArtifactError):
        table = read_table(path, stage)
        if table.schema == schema:
            parts = {str(language): rows for (language,), rows in table.group_by("language", maintain_order=True)}
            return {
                language: parts[language]
                for language, key in keys.items()
                if language in parts and parts[language]["made_from"].unique().to_list() == [key]
            }
    return {}
