"""Checks between the planning of a run and its first job.

Snakemake removes the outputs of a job before it runs again. So problems that would make jobs fail at once are found first:
a damaged artifact must not cost the finished artifacts that were made from it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lexigraft.errors import ArtifactError

LEAST_ROOM = 100 << 20
"""Bytes: less than a model needs. Below this, Snakemake could not even keep its records."""
_USER = "for the user who runs this, and run again"


def check_before_start(changed: Iterable[Path], read: Iterable[Path], written: Iterable[Path]) -> None:
    """Check the files of all planned jobs.

    Args:
        changed: artifacts that changed after finished jobs read them, although no job wrote them.
        read: inputs; those that do not exist yet are skipped.
        written: outputs and logs.

    Raises:
        ArtifactError: an artifact is damaged, a file cannot be read, a folder cannot be written, or its disk is full.
    """
    from lexigraft.artifacts import verify

    # of each file the folder, or its nearest ancestor that exists, in which the missing folders will be created
    folders = sorted({next(above for above in Path(path).absolute().parents if above.is_dir()) for path in written})
    _check_writable(folders)
    for folder in folders:
        if (free := shutil.disk_usage(folder).free) < LEAST_ROOM:
            raise ArtifactError(
                f"the disk is full: only {free / 2**20:.1f} MiB are free",
                where=folder,
                hint=f"make room on this disk, at least {LEAST_ROOM / 2**20:.0f} MiB, and run again",
            )
    for path in sorted({Path(path) for path in read}):
        if path.exists() and not os.access(path, os.R_OK):
            raise ArtifactError("cannot be read: permission denied", where=path, hint=f"make the file readable {_USER}")
    verify(map(Path, changed))


def check_records(folder: Path) -> None:
    """Check that Snakemake can write its records in `.snakemake`; otherwise it would end with a traceback.

    Raises:
        ArtifactError: one of the folders cannot be written.
    """
    if folder.is_dir():
        _check_writable([folder, *sorted(path for path in folder.iterdir() if path.is_dir())])


def _check_writable(folders: Iterable[Path]) -> None:
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ArtifactError("cannot be written: permission denied", where=folder, hint=f"make the folder writable {_USER}")
