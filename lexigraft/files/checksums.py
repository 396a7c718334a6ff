"""SHA-256 digests that a configuration gives for files from outside, held against the files before they are read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated

from pydantic import AfterValidator

from lexigraft.errors import InputError

log = logging.getLogger(__name__)

_SHOWN = 5


def _are_digests(value: str | dict[str, str]) -> str | dict[str, str]:
    for digest in [value] if isinstance(value, str) else value.values():
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{digest!r} is no SHA-256 digest, 64 of the characters 0-9 and a-f")
    return value


Sha256 = Annotated[str, AfterValidator(_are_digests)]
"""The digest of one file, as `sha256sum` prints it."""
Sha256s = Annotated[str | dict[str, str], AfterValidator(_are_digests)]
"""The digest of one file, or of several by their names (or the ends of their paths)."""


def check_digests(files: Sequence[Path], expected: str | Mapping[str, str] | None, where: object) -> None:
    """Verify files against the digests that are given for them; without any, nothing is read.

    Args:
        files: all files that will be read.
        expected: a digest of the only file, or digests by name; see `named_digests`.
        where: what the files are of, for messages.

    Raises:
        InputError: a file's content is another, or see `named_digests`.
    """
    for file, digest in named_digests(files, expected, where).items():
        with file.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != digest:
            raise InputError(
                f"the SHA-256 digest of {file.name!r} is {found}, not {digest}",
                where=f"{file} ({where})",
                hint="get the file again from its source; if it changed there, look at what changed before you change `sha256`",
            )
        log.info("%s has the SHA-256 digest that `sha256` gives", file)


def named_digests(files: Sequence[Path], expected: str | Mapping[str, str] | None, where: object) -> dict[Path, str]:
    """Which digest each file should have, without reading one. Where digests are given, no file may be without.

    Args:
        files: all files that will be read.
        expected: a digest of the only file, or digests by name. A name is that of a file, or the end of its path where two
            files have one name (`tokenizer/config.json`).
        where: what the files are of, for messages.

    Raises:
        InputError: a digest alone stands for several files or none, a name is that of no file or of two, or a file has no
            digest.
    """
    if expected is None:
        return {}
    if isinstance(expected, str):
        if len(files) != 1:
            hint = "give digests by file name: {name: digest}, as `sha256sum` prints them"
            raise InputError(f"`sha256` is the digest of one file, but {_told(files)} are read", where=where, hint=hint)
        return {files[0]: expected}
    digests: dict[Path, str] = {}
    for name, digest in expected.items():
        parts = PurePath(name).parts
        named = [file for file in dict.fromkeys(files) if parts and file.parts[-len(parts) :] == parts]
        if len(named) != 1:
            problem = f"`sha256` names {name!r}, which is {_told(named)} of those that are read"
            hint = "name a file, with its folder where two have one name" if named else f"these are read: {_told(files)}"
            raise InputError(problem, where=where, hint=hint)
        digests[named[0]] = digest
    if lacking := [file for file in files if file not in digests]:
        hint = "give the digests of all of them, as `sha256sum` prints them, or none"
        raise InputError(f"`sha256` says nothing of {_told(lacking)}", where=where, hint=hint)
    return digests


def _told(files: Sequence[Path]) -> str:
    names = ", ".join(file.name for file in files[:_SHOWN]) + (", …" if len(files) > _SHOWN else "")
    return f"{len(files)} files ({names})" if len(files) > 1 else names or "no file"
