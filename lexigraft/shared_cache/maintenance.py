"""Maintenance of a shared cache: listing its entries, finding damaged ones, removing old ones."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lexigraft.errors import ArtifactError, InputError
from lexigraft.shared_cache.entries import KEY, UNFINISHED, Entry, delete, read_entry, verify

DAY = 86400.0
_REMOVED = ".removed-"


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the cache as found on disk.

    Attributes:
        folder: the folder of the entry.
        entry: its manifest, None if that is damaged.
        problem: what is wrong with the manifest.
        size: total size of its files in bytes.
        stored: when it was stored, in seconds since 1970.
        owner: name of the user who stored it.
    """

    folder: Path
    entry: Entry | None
    problem: str
    size: int
    stored: float
    owner: str


def entries(cache: Path) -> list[Listed]:
    """All entries, oldest first; only their manifests are read.

    Raises:
        InputError: the folder does not exist.
    """
    found = [_listed(folder) for folder in _folders(cache) if KEY.fullmatch(folder.name)]
    return sorted(found, key=lambda listed: (listed.stored, listed.folder.name))


def damaged_entries(listed: Sequence[Listed]) -> Iterator[tuple[Listed, str]]:
    """Read all files of entries and yield the damaged entries with their problems.

    Raises:
        OSError: a file cannot be read.
    """
    for item in listed:
        if item.entry is None:
            yield item, item.problem
        else:
            try:
                verify(item.entry)
            except ArtifactError as error:
                yield item, error.problem


def expired(listed: Sequence[Listed], now: float, max_days: float | None, max_bytes: float | None) -> list[Listed]:
    """Entries older than `max_days` days, and the oldest of the others until the remaining ones fit into `max_bytes` bytes."""
    found, size = list[Listed](), sum(item.size for item in listed)
    for item in listed:
        is_old = max_days is not None and now - item.stored > max_days * DAY
        if is_old or (max_bytes is not None and size > max_bytes):
            found.append(item)
            size -= item.size
    return found


def leftovers(cache: Path, now: float) -> list[Path]:
    """Unfinished entries of killed runs (unchanged for a day), and entries that were set aside but could not be deleted."""
    return [
        folder
        for folder in _folders(cache)
        if folder.name.startswith(_REMOVED) or (folder.name.startswith(UNFINISHED) and now - _last_change(folder) > DAY)
    ]


def remove(folder: Path) -> None:
    """Rename an entry to a hidden name in one step, so that no incomplete entry is ever visible, then delete it.

    Another user's entry can be renamed if the cache folder is writable, but only its owner can delete it; otherwise it remains
    under the hidden name.

    Raises:
        InputError: the cache folder is not writable.
    """
    aside = folder
    if not folder.name.startswith("."):
        aside = folder.with_name(f"{_REMOVED}{folder.name}-{secrets.token_hex(4)}")
        try:
            folder.rename(aside)
        except OSError as error:
            raise InputError(
                f"cannot be removed: {error.strerror}",
                where=folder,
                hint=f"ask {_owner(folder)}, who stored it, or a user with write permission in {folder.parent}",
            ) from error
    with suppress(OSError):
        delete(aside)


def _folders(cache: Path) -> list[Path]:
    if not cache.is_dir():
        raise InputError("the folder does not exist", where=cache, hint="give the folder of the shared cache")
    return sorted(path for path in cache.iterdir() if path.is_dir() and not path.is_symlink())


def _listed(folder: Path) -> Listed:
    entry, problem = None, ""
    try:
        entry = read_entry(folder)
    except ArtifactError as error:
        problem = error.problem
    size = sum(path.stat().st_size for path in folder.iterdir())
    # the time stamp of the folder: its files have the time stamps of their originals
    return Listed(folder, entry, problem, size, folder.stat().st_mtime, _owner(folder))


def _last_change(folder: Path) -> float:
    dates = [folder.stat().st_mtime]
    with suppress(OSError):
        dates += [path.stat().st_ctime for path in folder.iterdir()]
    return max(dates)


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:  # a user id that this machine does not know
        return str(folder.stat().st_uid)
