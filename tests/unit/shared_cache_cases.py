"""A recipe and files to store, for tests of the shared cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from lexigraft.artifacts import Provenance, write_table
from lexigraft.shared_cache.entries import Recipe


def recipe(**changed: Any) -> Recipe:
    parts: dict[str, Any] = {
        "rule": "factors",
        "wildcards": {"dim": "8"},
        "params": {"dim": 8, "code": "c", "lock": "l"},
        "inputs": {"weights": ["1"]},
        "outputs": ["note.txt", "table.parquet"],
        "software": "",
        "platform": "here",
    }
    return Recipe(**{**parts, **changed})


def no_software(_: Any) -> str:
    return ""


def make_files(folder: Path, number: int = 1) -> dict[str]:
    write_table(folder / "table.parquet", pl.DataFrame({"a": [number] * 100}), Provenance("factors"))
    (folder / "note.txt").write_text(f"note {number}")
    return {name: folder / name for name in ("note.txt", "table.parquet")}
