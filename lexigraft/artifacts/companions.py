"""Companion files: files without a seal whose digests are stored in a sealed artifact of the same folder.

`config.json`, `tokenizer.json`, `tokenizer_config.json` and the model card are read by other software and cannot carry a seal.
The artifact that is written last into their folder records their digests in its provenance, under its own seal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lexigraft.artifacts.sealing import Provenance, damaged, identity, read_provenance
from lexigraft.errors import ArtifactError

SEALED_SUFFIXES = (".parquet", ".safetensors", ".arrow")


def with_companions(provenance: Provenance, folder: Path, names: Iterable[str]) -> Provenance:
    """The provenance of an artifact in `folder`, with the digests of its companion files `names`, which exist already."""
    return replace(provenance, companions={name: identity(folder / name) for name in names})


def check_companion(path: Path) -> None:
    """Verify a file without a seal against the digest in an artifact of the same folder, if there is one.

    Raises:
        ArtifactError: the file has changed since that artifact was written.
    """
    if path.suffix in SEALED_SUFFIXES or not path.is_file():
        return
    for artifact, digest in _digests(path):
        if identity(path) != digest:
            raise damaged(path, f"was altered: it is not the file that {artifact.name} was written with")


def _digests(path: Path) -> Iterator[tuple[Path, str]]:
    for neighbor in sorted(path.parent.iterdir()):
        if neighbor.suffix in SEALED_SUFFIXES and not neighbor.name.startswith("."):
            # a foreign or damaged neighbor holds no digests; the stage that reads it reports what is wrong
            with suppress(ArtifactError):
                digest = read_provenance(neighbor).get("companions", {}).get(path.name)
                if digest is not None:
                    yield neighbor, digest
