"""The external files of a run, found before any job starts: everything missing or unsuitable is reported at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lexigraft.config.configuration import Config
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.corpora.sources import corpus_sources, text_sources
from lexigraft.errors import InputError, LexigraftError
from lexigraft.evaluation.tasks import Task
from lexigraft.files.checksums import named_digests
from lexigraft.files.references import model_files, source_files
from lexigraft.tokenizers.settings import ExistingTokenizer
from lexigraft.word_vectors.paths import vector_files
from lexigraft.word_vectors.settings import VectorFiles
from lexigraft.workflow.source_limits import check_fit

_SHOWN = 10
Files = dict[str, dict[str, list[str]]]


def outside_files(config: Config, only_plan: bool = False) -> tuple[Files, str]:
    """The local files that each entry of a configuration is read from, and what is missing.

    Args:
        config: a checked configuration.
        only_plan: nothing will run, so problems are returned and not raised.

    Returns:
        section of the configuration -> name -> files (empty if they are on a hub or missing); and one line per entry whose
        files are missing or unsuitable, '' if there is none.

    Raises:
        InputError: packages, folders or files are missing, or a source model is too small for the configuration; the
            message lists all of them.
    """
    wanted: dict[str, dict[str, Callable[[], list[str]]]] = {
        "corpora": {name: partial(_corpus, settings) for name, settings in config.corpora.items()},
        "sources": {name: partial(_source, config, name) for name in config.sources},
        "tokenizers": {
            name: partial(_tokenizer, tokenizer)
            for name, tokenizer in config.tokenizers.items()
            if isinstance(tokenizer, ExistingTokenizer)
        },
        "word_vectors": {
            name: partial(_vectors, vectors)
            for name, vectors in config.word_vectors.items()
            if isinstance(vectors, VectorFiles)
        },
        "tasks": {name: partial(_task_files, task) for name, task in config.tasks.items()},
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


def _corpus(settings: CorpusSettings) -> list[str]:
    files = corpus_sources(settings)
    if settings.sha256 is not None:
        if not text_sources(settings):
            hint = "set `revision` to a commit of the dataset, or download it and give the folder"
            raise InputError("`sha256` needs local files, but the dataset is read from the hub", hint=hint)
        named_digests(text_sources(settings), settings.sha256, "sha256")
    return files


def _source(config: Config, name: str) -> list[str]:
    settings = config.sources[name]
    files = model_files(settings.model, settings.tokenizer, code=settings.trust_remote_code)
    if folder := next((file.parent for file in files if file.name == "config.json"), None):
        check_fit(config, name, folder)
    on_hub = not all(source_files(reference) for reference in (settings.model, settings.tokenizer) if reference)
    return _checked(files, None if on_hub else settings.sha256)


def _tokenizer(settings: ExistingTokenizer) -> list[str]:
    return _checked(model_files(settings.path), settings.sha256)


def _vectors(settings: VectorFiles) -> list[str]:
    return _checked(vector_files(settings), settings.sha256)


def _checked(files: list[Path], digests: str | dict[str, str] | None) -> list[str]:
    """Paths of the files; if digests are given, every local file must have one (files on a hub are not known yet)."""
    if files:
        named_digests(files, digests, "sha256")
    return [str(file) for file in files]


def _task_files(task: Task) -> list[str]:
    files = [file for part in task.outside_files().values() for file in part]
    if lost := [file for file in files if not Path(file).is_file()]:
        shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
        raise InputError(f"{len(lost)} files do not exist: {shown}", hint="correct the paths")
    return files
