"""What is checked when a run has been planned and before its first job starts.

Snakemake removes the outputs of a job that runs again when it starts it. So what would make jobs fail at once is found before:
a damaged artifact must not cost the finished ones that were made from it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lexigraft.errors import ArtifactError

LEAST_ROOM = 100 << 20
"""Bytes: less than a model takes. With less, Snakemake could not even keep its records."""
_USER = "for the user who runs this, and run again"


def check_before_start(changed: Iterable[Path], read: Iterable[Path], written: Iterable[Path]) -> None:
    """Check the files of all planned jobs.

    Args:
        changed: artifacts that changed since finished jobs read them, though no job wrote them.
        read: inputs; those that are still to be made are left out.
        written: outputs and logs.

    Raises:
        ArtifactError: an artifact is damaged, a file cannot be read, a folder cannot be written, or its disk is full.
    """
    from lexigraft.artifacts import verify

    _check_folders({_existing_folder(Path(path)) for path in written})
    for path in sorted({Path(path) for path in read}):
        if path.exists() and not os.access(path, os.R_OK):
            raise ArtifactError("cannot be read: permission denied", where=path, hint=f"make the file readable {_USER}")
    verify(map(Path, changed))


def check_records(folder: Path) -> None:
    """Check that Snakemake can keep its records, in `.snakemake`; it would end with a traceback.

    Raises:
        ArtifactError: one of the folders cannot be written.
    """
    if folder.is_dir():
        _check_writable([folder, *sorted(path for path in folder.iterdir() if path.is_dir())])


def _check_folders(folders: set[Path]) -> None:
    _check_writable(sorted(folders))
    for folder in sorted(folders):
        if (free := shutil.disk_usage(folder).free) < LEAST_ROOM:
            raise ArtifactError(
                f"the disk is full: it has room for {free / 2**20:.1f} MiB more",
                where=folder,
                hint=f"make room on this disk, {LEAST_ROOM / 2**20:.0f} MiB at the least, and run again",
            )


def _check_writable(folders: Iterable[Path]) -> None:
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ArtifactError("cannot be written: permission denied", where=folder, hint=f"make the folder writable {_USER}")


def _existing_folder(path: Path) -> Path:
    """The folder of a file, or the nearest one above it that exists: the one to make the others in."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())
