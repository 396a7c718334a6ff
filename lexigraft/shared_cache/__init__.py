"""A cache of artifacts that several checkouts and users share; its entries are verified before they are used."""

from __future__ import annotations

import os


def cache_location() -> str | None:
    """The folder of the shared cache according to Snakemake's environment variable; None if it is not set."""
    return os.environ.get("SNAKEMAKE_OUTPUT_CACHE") or None
