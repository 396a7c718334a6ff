"""The jobs of a workflow and their entries in a shared cache."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lexigraft.artifacts import identity
from lexigraft.errors import ConfigError, InputError, LexigraftError
from lexigraft.shared_cache.entries import Entry, Recipe, fetch, place, read_entry, share
from lexigraft.workflow.code_digests import installed_otherwise
from lexigraft.workflow.stage import plain

_CODE = ("lexigraft", "workflow_scripts", "rules", "Snakefile", "requirements.lock")
State = dict[str, tuple[int, int, int] | None]


class SharedCache:
    """The shared cache of a run.

    A job is an object with `rule.name`, `wildcards`, `params`, `input` and `output` (a Snakemake job or a replacement).

    Args:
        location: absolute path of the folder.
        checkout: the folder of the code that jobs run.
        software_of: returns the environment that Snakemake provides for a job (see `Recipe`).

    Raises:
        ConfigError: the folder does not exist, or its path is relative.
    """

    def __init__(self, location: str, checkout: Path, software_of: Callable[[Any], str]) -> None:
        self.folder = Path(location)
        if not self.folder.is_absolute() or not self.folder.is_dir():
            raise ConfigError(
                f"the shared cache {location!r} is not " + ("a folder" if self.folder.is_absolute() else "an absolute path"),
                where="environment variable SNAKEMAKE_OUTPUT_CACHE",
                hint="create the folder (docs/cache.md describes its permissions), or unset the variable",
            )
        self._lock = checkout / "requirements.lock"
        self._code = [checkout / name for name in _CODE]
        self._code_at_start = _state(_files_below(self._code))
        self._begun: dict[Any, tuple[Recipe, State]] = {}
        self._planned: dict[Any, Entry | None] = {}
        self._software_of = software_of
        self._identities: dict[tuple[str, tuple[int, int, int] | None], str] = {}

    def fetch(self, job: Any) -> bool:
        """Create the output files of a job from its entry; False if there is none, so that the job has to run.

        Raises:
            ArtifactError: the entry is damaged.
            ConfigError: the entry cannot be read.
        """
        recipe, inputs = self._recipe(job, self._identity), _state(_inputs(job))
        try:
            entry = fetch(self.folder, recipe.key())
        except OSError as error:
            raise ConfigError(
                f"an entry of the shared cache cannot be read: {error}",
                where=self.folder / recipe.key(),
                hint="ask its owner for permission to read, or run without SNAKEMAKE_OUTPUT_CACHE",
            ) from error
        if entry is None:
            self._begun[job] = recipe, inputs
            return False
        for name, path in _outputs(job).items():
            place(entry, name, path)
        return True

    def store(self, job: Any) -> str | None:
        """Store the files of a job that ran because `fetch` found no entry; returns None, or why nothing was stored.

        The local files remain in any case.
        """
        recipe, inputs = self._begun.pop(job)
        outputs = _outputs(job)
        if not all(path.is_file() for path in outputs.values()):
            return "the job has not written all of its files"
        if _state(_inputs(job)) != inputs:
            return "an input changed while the job ran"
        if _state(_files_below(self._code)) != self._code_at_start:
            return "the code has changed since Snakemake was started"
        if not recipe.software and (other := installed_otherwise(self._lock)):
            return f"installed packages differ from requirements.lock: {', '.join(other)}"
        try:
            share(self.folder, recipe, outputs)
        except OSError as error:
            return f"{self.folder} cannot be written: {error.strerror or error}"
        except LexigraftError as error:
            return str(error)
        return None

    def has(self, job: Any) -> bool:
        """Whether a planned job will find its entry; outputs of jobs before it are taken from their entries."""
        return self._planned_entry(job) is not None

    def _recipe(self, job: Any, identity_of: Callable[[Any, str], str]) -> Recipe:
        return Recipe(
            rule=job.rule.name,
            wildcards={str(name): str(value) for name, value in job.wildcards.items()},
            params={str(name): plain(value) for name, value in job.params.items()},
            inputs={str(name): [identity_of(job, file) for file in _listed(files)] for name, files in job.input.items()},
            outputs=sorted(_outputs(job)),
            software=self._software_of(job),
            platform=f"{sys.platform} {platform.machine()} Python {sys.version_info.major}.{sys.version_info.minor}",
        )

    def _identity(self, _: Any, file: str) -> str:
        found = (file, _state([Path(file)])[file])
        if found not in self._identities:
            self._identities[found] = identity(Path(file))
        return self._identities[found]

    def _planned_identity(self, job: Any, file: str) -> str:
        """Like `_identity`; for a file that an earlier job of the plan will write, the identity in that job's entry."""
        for upstream, files in job.dag.dependencies[job].items():
            if file in files and job.dag.needrun(upstream):
                entry = self._planned_entry(upstream)
                if entry is None:
                    raise InputError("this file does not exist yet", where=file)
                names = {str(path): name for name, path in _outputs(upstream).items()}
                return entry.files[names[file]].identity
        return self._identity(job, file)

    def _planned_entry(self, job: Any) -> Entry | None:
        if job not in self._planned:
            self._planned[job] = None
            with suppress(LexigraftError, OSError):
                folder = self.folder / self._recipe(job, self._planned_identity).key()
                self._planned[job] = read_entry(folder) if folder.exists() else None
        return self._planned[job]


def _outputs(job: Any) -> dict[str, Path]:
    """Name in the entry -> local file."""
    found = {}
    for name, files in job.output.items():
        for index, file in enumerate(_listed(files)):
            label = name if isinstance(files, str) else f"{name}-{index}"
            found[f"{label}{Path(file).suffix}"] = Path(file)
    return found


def _inputs(job: Any) -> list[Path]:
    return [Path(file) for _, files in job.input.items() for file in _listed(files)]


def _listed(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files)


def _files_below(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        found = folder.rglob("*") if folder.is_dir() else [folder]
        yield from (path for path in found if path.suffix != ".pyc" and path.is_file())


def _state(files: Iterable[Path]) -> State:
    """Inode, size and modification time of each file; at least one of them changes when a file is written."""
    state: State = {}
    for file in files:
        found = file.stat() if file.exists() else None
        state[str(file)] = (found.st_ino, found.st_size, found.st_mtime_ns) if found else None
    return state
