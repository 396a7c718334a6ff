"""Atomic writes: a file exists as a whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape as glob_escape
from pathlib import Path
from typing import BinaryIO, TypeGuard

from lexigraft.errors import ArtifactError

_JOB = "LEXIGRAFT_JOB"
_WRITABLE = "make the folder writable for the user who runs this, or write elsewhere (`pathvars`), and run again"
_HINTS = {
    errno.ENOSPC: "make room on this disk and run again",
    errno.EDQUOT: "make room in your quota and run again",
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file next to `path`; on success it is flushed to disk and renamed to `path`, otherwise removed.

    Raises:
        ArtifactError: the disk is full, the folder cannot be written, or the job has been started again meanwhile.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(descriptor, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~umask())
        _stop_if_superseded(path)
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        if _is_refusal(error, path.parent):
            raise ArtifactError(f"cannot be written: {error}", where=path, hint=hint_for(error)) from error
        raise


@contextmanager
def claim(log: Path) -> Iterator[None]:
    """Context in which this process and its children publish files only while `log` is still the same file.

    Starting a job again replaces its log. So a process that survived a killed run, perhaps with another configuration, cannot
    overwrite what its successor wrote.
    """
    found = log.stat()
    os.environ[_JOB] = json.dumps([str(log.absolute()), found.st_dev, found.st_ino])
    try:
        yield
    finally:
        del os.environ[_JOB]


def hint_for(error: OSError) -> str | None:
    """What to do when the system refuses to write; None for other errors."""
    return _HINTS.get(error.errno or 0)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of killed processes that were writing `path`."""
    for leftover in path.parent.glob(f".{glob_escape(path.name)}.*.part"):
        with suppress(FileNotFoundError):
            leftover.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_file(path) as handle:
        handle.write(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def umask() -> int:
    """The permission bits that are removed from new files of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _stop_if_superseded(path: Path) -> None:
    if (job := os.environ.get(_JOB)) is None:
        return
    log, device, inode = json.loads(job)
    with suppress(FileNotFoundError):
        found = Path(log).stat()
        if (found.st_dev, found.st_ino) != (device, inode):
            raise ArtifactError(
                "not written: the same job was started again while this process was still running",
                where=path,
                hint="nothing, if that other run is the one you want; this process belongs to an earlier run and ends here",
            )


def refusal_behind(error: OSError | ArtifactError) -> OSError | None:
    """The operating system's error behind a failed write: the error itself, or the cause of an ArtifactError."""
    cause = error.__cause__ if isinstance(error, ArtifactError) else error
    return cause if isinstance(cause, OSError) else None


def _is_refusal(error: BaseException, folder: Path) -> TypeGuard[OSError]:
    """Whether the system refused to write in `folder` (and not to read another file while this one was open)."""
    if not isinstance(error, OSError) or hint_for(error) is None:
        return False
    return error.filename is None or Path(error.filename).is_relative_to(folder) or folder.is_relative_to(error.filename)
