"""Rows of an earlier table that are still right, so that adding a language computes that one only.

A table of results has, besides `language`, a column `made_from`: a digest of everything that the language's rows follow from.
When the table is made again, rows of languages with the same digest come from the previous table: from a second name of the
file, `.previous-<name>`, since Snakemake removes a job's outputs before it starts it. (Its `update` outputs remain, but when
such a job fails, Snakemake puts the old file back and records it as made with the new parameters.)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError

log = logging.getLogger(__name__)


def digest_of(*parts: Any) -> str:
    """Digest of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def write_reusable(path: Path, table: pl.DataFrame, provenance: Provenance) -> None:
    """Write a table, and give it the second name under which the next job finds it."""
    write_table(path, table, provenance)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.hardlink_to(path)
        temporary.replace(_second_name(path))
    except OSError as error:  # a file system without links: the next job computes all languages
        log.warning("%s cannot be reused when a language is added: %s", path, error)


def reusable_rows(path: Path, stage: str, schema: pl.Schema, keys: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    """Rows of an earlier table, of the languages for which they are still right.

    Args:
        path: the table; a missing or damaged one has no such rows.
        stage: that made it.
        schema: that it must have, with `language` and `made_from`.
        keys: language -> digest that its rows must have.

    Returns:
        language -> its rows, in the order of `keys`.
    """
    with suppress(ArtifactError):
        table = read_table(path if path.exists() else _second_name(path), stage)
        if table.schema == schema:
            parts = {str(language): rows for (language,), rows in table.group_by("language", maintain_order=True)}
            return {
                language: parts[language]
                for language, key in keys.items()
                if language in parts and parts[language]["made_from"].unique().to_list() == [key]
            }
    return {}


def _second_name(path: Path) -> Path:
    return path.with_name(f".previous-{path.name}")
