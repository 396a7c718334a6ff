"""The command `lexigraft cache`: list, verify and clean a shared cache."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft.errors import ArtifactError, InputError
from lexigraft.shared_cache import cache_location

if TYPE_CHECKING:
    from lexigraft.shared_cache.maintenance import Listed

_GIGABYTE = 1e9


def add_cache(subcommands: Any) -> None:
    """Add `cache` and its own subcommands to the parser."""
    parser = subcommands.add_parser("cache", help="list, verify and clean a shared cache")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _action(actions, "ls", "list the entries, oldest first", _ls)
    verify = _action(actions, "verify", "read all files and compare them with what was stored", _verify)
    verify.add_argument("--remove", action="store_true", help="remove damaged entries; runs will compute and store them again")
    clean = _action(actions, "gc", "list what can be removed: old entries, and leftovers of killed runs", _gc)
    clean.add_argument("--older-than", type=float, metavar="DAYS", help="select entries that are older than DAYS days")
    clean.add_argument("--max-size", type=float, metavar="GB", help="select the oldest entries until the others fit into GB")
    clean.add_argument("--remove", action="store_true", help="remove what is listed; without this option nothing is changed")


def _action(actions: Any, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.add_argument("cache", type=Path, nargs="?", metavar="FOLDER", help="default: $SNAKEMAKE_OUTPUT_CACHE")
    parser.set_defaults(run=run)
    return parser


def _folder(options: argparse.Namespace) -> Path:
    location = options.cache or cache_location()
    if not location:
        raise InputError("no shared cache is given", hint="give its folder, or set SNAKEMAKE_OUTPUT_CACHE")
    return Path(location).absolute()


def _ls(options: argparse.Namespace) -> None:
    from lexigraft.shared_cache.maintenance import entries

    found = entries(_folder(options))
    for item in found:
        print(_line(item))
    print(f"{len(found)} entries, {_gigabytes(found)}")


def _verify(options: argparse.Namespace) -> None:
    from lexigraft.shared_cache.maintenance import damaged_entries, entries, remove

    cache = _folder(options)
    try:
        found = entries(cache)
        damaged = list(damaged_entries(found))
    except OSError as error:
        raise InputError(f"the shared cache cannot be read: {error}", where=cache) from error
    named = "\n".join(f"  {item.folder.name} ({_what(item)}, stored by {item.owner}) {problem}" for item, problem in damaged)
    if damaged and not options.remove:
        raise ArtifactError(
            f"{len(damaged)} of {len(found)} entries are damaged:\n{named}",
            where=cache,
            hint=f"lexigraft cache verify {cache} --remove, then run again: the entries are computed and stored again",
        )
    for item, _ in damaged:
        remove(item.folder)
    print(f"{len(found)} entries, " + (f"{len(damaged)} were damaged and removed:\n{named}" if damaged else "none damaged"))


def _gc(options: argparse.Namespace) -> None:
    from lexigraft.shared_cache.maintenance import entries, expired, leftovers, remove

    cache, now = _folder(options), time.time()
    limit = None if options.max_size is None else options.max_size * _GIGABYTE
    chosen, unfinished = expired(entries(cache), now, options.older_than, limit), leftovers(cache, now)
    for item in chosen:
        print(_line(item))
    for folder in unfinished:
        print(f"{folder.name}  unfinished or set aside")
    for folder in [*(item.folder for item in chosen), *unfinished] if options.remove else []:
        remove(folder)
    what = f"{len(chosen)} entries ({_gigabytes(chosen)}) and {len(unfinished)} leftovers"
    print(f"{what} removed" if options.remove else f"{what} can be removed; nothing is changed without --remove")


def _line(item: Listed) -> str:
    stored = time.strftime("%Y-%m-%d", time.localtime(item.stored))
    return f"{item.folder.name[:12]}  {stored}  {item.size / 1e6:10.1f} MB  {item.owner:<12}  {_what(item)}"


def _what(item: Listed) -> str:
    if item.entry is None:
        return "damaged"
    wildcards = item.entry.recipe["wildcards"]
    return " ".join([item.entry.recipe["rule"], *(f"{name}={value}" for name, value in wildcards.items())])


def _gigabytes(listed: list[Listed]) -> str:
    return f"{sum(item.size for item in listed) / _GIGABYTE:.2f} GB"
