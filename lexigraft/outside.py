"""The files from outside that a run reads, found before anything runs: all that are missing are named at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from glob import escape
from pathlib import Path

from lexigraft.config import Config
from lexigraft.corpora.sources import corpus_sources
from lexigraft.errors import InputError, LexigraftError
from lexigraft.evaluation.settings import TaggingTask
from lexigraft.sources.resolve import model_files

_SHOWN = 10
Files = dict[str, dict[str, list[str]]]


def outside_files(config: Config, only_plan: bool = False) -> tuple[Files, str]:
    """The local files that each thing of a configuration is read from, and what is missing.

    Args:
        config: a checked configuration.
        only_plan: nothing will run, so what is missing is told and not raised.

    Returns:
        section of the configuration -> name -> files (none for what lies on a hub, or is missing); and a line for every
        missing thing, '' if all is there.

    Raises:
        InputError: a package, folder or file is missing; the message tells of every one.
    """
    wanted: dict[str, dict[str, Callable[[], list[str]]]] = {
        "corpora": {name: partial(corpus_sources, settings) for name, settings in config.corpora.items()},
        "sources": {name: partial(_model, source.model, source.tokenizer) for name, source in config.sources.items()},
        "tokenizers": {
            name: partial(_model, tokenizer.path)
            for name, tokenizer in config.tokenizers.items()
            if tokenizer.kind == "existing"
        },
        "word_vectors": {
            name: partial(_existing, vectors.paths) for name, vectors in config.word_vectors.items() if vectors.kind == "files"
        },
        "tasks": {name: partial(_tagged, task) for name, task in config.tasks.items() if task.kind == "tagging"},
    }
    found: Files = {}
    problems = []
    for section, finders in wanted.items():
        found[section] = {}
        for name, find in finders.items():
            try:
                found[section][name] = find()
            except LexigraftError as error:
                found[section][name] = []
                problems.append(f"{section}.{name}: {error}")
    if problems and not only_plan:
        raise InputError("\n".join(problems), where="configuration")
    return found, "\n".join(problems)


def _model(reference: str, tokenizer: str | None = None) -> list[str]:
    return [str(path) for path in model_files(reference, tokenizer)]


def _tagged(task: TaggingTask) -> list[str]:
    files = [file.path for part in (task.train, task.dev, task.test) for file in part.values()]
    if lost := [file for file in files if not Path(file).is_file()]:
        shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
        raise InputError(f"{len(lost)} files of tagged sentences do not exist: {shown}", hint="give the paths of files")
    return files


def _existing(paths: dict[str, str] | str) -> list[str]:
    files = [paths] if isinstance(paths, str) else list(paths.values())
    for file in files:
        if not Path(file).is_file():
            raise InputError(f"the file {file!r} does not exist", hint="give the path of a file of word vectors")
    return [part for file in files for part in [file, *_side_files(Path(file))]]


def _side_files(path: Path) -> list[str]:
    """Arrays that gensim saved beside a large file of any name: `<file>.vectors.npy` and the like."""
    return sorted(str(file) for file in path.parent.glob(f"{escape(path.name)}.*.npy"))
