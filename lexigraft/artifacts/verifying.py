"""Verifying artifacts outside of a stage, and files without a seal by the digests in an artifact of the same folder.

`config.json`, `tokenizer.json`, `tokenizer_config.json` and the model card are read by other software and cannot carry a seal.
The artifact that is written last into their folder records their digests in its provenance, under its own seal: they are its
companions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lexigraft.artifacts.sealing import Provenance, check, damaged, identity, read_provenance
from lexigraft.errors import ArtifactError

SEALED_SUFFIXES = (".parquet", ".safetensors", ".arrow")
_PAGE_SEAL = "<!-- SHA-256 of all above: {} -->\n"


def verify(paths: Iterable[Path]) -> int:
    """Verify every file that has a seal or is the companion of an artifact, and return the number of files checked.

    Raises:
        ArtifactError: at least one file has changed since it was written; all of them are named.
    """
    count, problems = 0, list[str]()
    for path in sorted({Path(path) for path in paths}):
        count += 1
        try:
            if path.suffix in SEALED_SUFFIXES:
                check(path, None)
            elif path.suffix == ".html":
                check_page(path)
            else:
                check_companion(path)
        except ArtifactError as error:
            problems.append(f"  {path}: {error.problem}")
    if problems:
        raise ArtifactError(
            "these artifacts are damaged:\n" + "\n".join(problems),
            hint="delete these files and run snakemake again: it regenerates those that the run needs and what depends on them",
        )
    return count


def sealed_page(text: str) -> str:
    """An HTML page with its seal appended as the last line."""
    text = text if text.endswith("\n") else text + "\n"
    return text + _PAGE_SEAL.format(hashlib.sha256(text.encode("utf-8")).hexdigest())


def check_page(path: Path) -> None:
    """Verify the seal of an HTML page.

    Raises:
        ArtifactError: the page was altered or truncated.
    """
    content = path.read_bytes()
    seal = re.search(re.escape(_PAGE_SEAL).replace(r"\{\}", "([0-9a-f]{64})").encode() + b"$", content)
    if seal is None or hashlib.sha256(content[: seal.start()]).hexdigest().encode() != seal[1]:
        raise damaged(path, "was altered: its content does not match its seal")


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """All files in folders (or the file itself, where a file is given), without hidden ones.

    Raises:
        ArtifactError: a folder or file does not exist.
    """
    for folder in folders:
        if not folder.exists():
            raise ArtifactError("the folder does not exist", where=folder, hint="give a folder such as results/demo")
        found = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        yield from (path for path in found if path.is_file() and not path.name.startswith("."))


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
