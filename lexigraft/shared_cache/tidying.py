"""Looking after a shared cache: what lies in it, what is damaged, what can go."""

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
    """An entry as it lies in the cache.

    Attributes:
        folder: of the entry.
        entry: what its manifest says, None where that is damaged.
        problem: what is wrong with the manifest.
        size: bytes of all files.
        stored: seconds since 1970.
        owner: name of the user who stored it.
    """

    folder: Path
    entry: Entry | None
    problem: str
    size: int
    stored: float
    owner: str


def entries(cache: Path) -> list[Listed]:
    """All entries, the oldest first; their manifests are read, their files are not.

    Raises:
        InputError: there is no such folder.
    """
    found = [_listed(folder) for folder in _folders(cache) if KEY.fullmatch(folder.name)]
    return sorted(found, key=lambda listed: (listed.stored, listed.folder.name))


def damaged_entries(listed: Sequence[Listed]) -> Iterator[tuple[Listed, str]]:
    """Read all files of entries and yield those that are not what was stored, with what is wrong.

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


def too_many(listed: Sequence[Listed], now: float, max_days: float | None, max_bytes: float | None) -> list[Listed]:
    """Entries that are older than so many days, and the oldest of the rest until these take no more than so many bytes."""
    found, left = list[Listed](), sum(item.size for item in listed)
    for item in listed:
        is_old = max_days is not None and now - item.stored > max_days * DAY
        if is_old or (max_bytes is not None and left > max_bytes):
            found.append(item)
            left -= item.size
    return found


def leftovers(cache: Path, now: float) -> list[Path]:
    """What killed runs left, when nothing was written there for a day, and what could be set aside but not deleted."""
    return [
        folder
        for folder in _folders(cache)
        if folder.name.startswith(_REMOVED) or (folder.name.startswith(UNFINISHED) and now - _last_change(folder) > DAY)
    ]


def remove(folder: Path) -> None:
    """Take an entry away in one step, so that no half of it is ever seen, then delete it.

    Somebody else's entry can be set aside where the cache's folder is writable, but deleted only by its owner: it is left under
    a hidden name then.

    Raises:
        InputError: the cache's folder is not writable.
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
                hint=f"ask {_owner(folder)}, who stored it, or whoever may write in {folder.parent}",
            ) from error
    with suppress(OSError):
        delete(aside)


def _folders(cache: Path) -> list[Path]:
    if not cache.is_dir():
        raise InputError("there is no such folder", where=cache, hint="name the folder of the shared cache")
    return sorted(path for path in cache.iterdir() if path.is_dir() and not path.is_symlink())


def _listed(folder: Path) -> Listed:
    entry, problem = None, ""
    try:
        entry = read_entry(folder)
    except ArtifactError as error:
        problem = error.problem
    size = sum(path.stat().st_size for path in folder.iterdir())
    # the folder's own date: files keep the dates of their originals
    return Listed(folder, entry, problem, size, folder.stat().st_mtime, _owner(folder))


def _last_change(folder: Path) -> float:
    dates = [folder.stat().st_mtime]
    with suppress(OSError):
        dates += [path.stat().st_ctime for path in folder.iterdir()]
    return max(dates)


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:  # a user of another machine
        return str(folder.stat().st_uid)
