"""Verifying artifacts that nobody reads at the moment: those of whole folders, and those that changed behind a run's back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lexigraft.artifacts.companions import SEALED_SUFFIXES, check_companion
from lexigraft.artifacts.sealing import check, damaged
from lexigraft.errors import ArtifactError

_PAGE_SEAL = "<!-- SHA-256 of all above: {} -->\n"


def verify(paths: Iterable[Path]) -> int:
    """Verify every file that has a seal or is vouched for by the artifact beside it, and return how many files were read.

    Raises:
        ArtifactError: at least one is not what it was written as; all of them are named.
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
            hint="delete these files and run snakemake again: it remakes what the run needs of them, and what depends on them",
        )
    return count


def sealed_page(text: str) -> str:
    """An HTML page with its seal in a last line of its own."""
    text = text if text.endswith("\n") else text + "\n"
    return text + _PAGE_SEAL.format(hashlib.sha256(text.encode("utf-8")).hexdigest())


def check_page(path: Path) -> None:
    """Verify the seal of an HTML page.

    Raises:
        ArtifactError: the page was altered or cut short.
    """
    content = path.read_bytes()
    seal = re.search(re.escape(_PAGE_SEAL).replace(r"\{\}", "([0-9a-f]{64})").encode() + b"$", content)
    if seal is None or hashlib.sha256(content[: seal.start()]).hexdigest().encode() != seal[1]:
        raise damaged(path, "was altered: its bytes are not those it was sealed with")


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """All files in folders (or the file itself, where a file is named), but not the hidden ones.

    Raises:
        ArtifactError: there is no such folder or file.
    """
    for folder in folders:
        if not folder.exists():
            raise ArtifactError("there is no such folder", where=folder, hint="name folders such as resources and results/demo")
        found = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        yield from (path for path in found if path.is_file() and not path.name.startswith("."))
