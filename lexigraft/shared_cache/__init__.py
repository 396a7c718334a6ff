"""Artifacts that several checkouts and people share: entries of a folder that are whole and unaltered, or named as damaged."""

from __future__ import annotations

import os


def cache_location() -> str | None:
    """The folder that the environment names as shared cache, in Snakemake's variable; None where it names none."""
    return os.environ.get("SNAKEMAKE_OUTPUT_CACHE") or None
