"""SHA-256 digests that a configuration gives for external files, checked before the files are read."""

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
            raise ValueError(f"{digest!r} is not a SHA-256 digest (64 characters out of 0-9 and a-f)")
    return value


Sha256 = Annotated[str, AfterValidator(_are_digests)]
"""The digest of one file, as `sha256sum` prints it."""
Sha256s = Annotated[str | dict[str, str], AfterValidator(_are_digests)]
"""The digest of one file, or of several by their names (or the ends of their paths)."""


def check_digests(files: Sequence[Path], expected: str | Mapping[str, str] | None, where: object) -> None:
    """Verify files against the digests given for them; without digests nothing is read.

    Args:
        files: all files that will be read.
        expected: the digest of the only file, or digests by name; see `named_digests`.
        where: what the files belong to, for messages.

    Raises:
        InputError: the content of a file has another digest, or see `named_digests`.
    """
    for file, digest in named_digests(files, expected, where).items():
        with file.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != digest:
            raise InputError(
                f"the SHA-256 digest of {file.name!r} is {found}, not {digest}",
                where=f"{file} ({where})",
                hint="get the file again from its source; if it changed there, check what changed before you edit `sha256`",
            )
        log.info("%s matches the digest in `sha256`", file)


def named_digests(files: Sequence[Path], expected: str | Mapping[str, str] | None, where: object) -> dict[Path, str]:
    """The expected digest of each file, without reading any. If digests are given, every file must have one.

    Args:
        files: all files that will be read.
        expected: the digest of the only file, or digests by name. A name is a file name, or the end of a path where two
            files share a name (`tokenizer/config.json`).
        where: what the files belong to, for messages.

    Raises:
        InputError: a single digest is given for several files or none, a name matches no file or several, or a file has no
            digest.
    """
    if expected is None:
        return {}
    if isinstance(expected, str):
        if len(files) != 1:
            hint = "give digests by file name: {name: digest}, as `sha256sum` prints them"
            raise InputError(f"a single `sha256` digest is given for {_listed(files)}", where=where, hint=hint)
        return {files[0]: expected}
    digests: dict[Path, str] = {}
    for name, digest in expected.items():
        parts = PurePath(name).parts
        named = [file for file in dict.fromkeys(files) if parts and file.parts[-len(parts) :] == parts]
        if len(named) != 1:
            problem = f"`sha256` names {name!r}, which matches {_listed(named)}"
            hint = "add the folder to the name: folder/file" if named else f"the files that are read: {_listed(files)}"
            raise InputError(problem, where=where, hint=hint)
        digests[named[0]] = digest
    if lacking := [file for file in files if file not in digests]:
        hint = "give the digests of all of them, as `sha256sum` prints them, or none"
        raise InputError(f"`sha256` has no digest of {_listed(lacking)}", where=where, hint=hint)
    return digests


def _listed(files: Sequence[Path]) -> str:
    names = ", ".join(file.name for file in files[:_SHOWN]) + (", …" if len(files) > _SHOWN else "")
    return f"{len(files)} files ({names})" if len(files) > 1 else names or "no file"
