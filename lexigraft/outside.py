"""The files from outside that a run reads, found before anything runs: all that are missing are named at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lexigraft.config import Config
from lexigraft.corpora.sources import corpus_sources
from lexigraft.errors import InputError, LexigraftError
from lexigraft.sources.resolve import source_files


def outside_files(config: Config) -> dict[str, dict[str, list[str]]]:
    """Section of the configuration -> name -> local files that this thing is read from; what lies on a hub has none.

    Raises:
        InputError: a package, folder or file is missing; the message tells of every one.
    """
    wanted: dict[str, dict[str, Callable[[], list[str]]]] = {
        "corpora": {name: partial(corpus_sources, settings) for name, settings in config.corpora.items()},
        "sources": {name: partial(_model, source.model) for name, source in config.sources.items()},
        "tokenizers": {
            name: partial(_model, tokenizer.path)
            for name, tokenizer in config.tokenizers.items()
            if tokenizer.kind == "existing"
        },
        "word_vectors": {
            name: partial(_existing, vectors.paths) for name, vectors in config.word_vectors.items() if vectors.kind == "files"
        },
    }
    found: dict[str, dict[str, list[str]]] = {}
    problems = []
    for section, finders in wanted.items():
        found[section] = {}
        for name, find in finders.items():
            try:
                found[section][name] = find()
            except LexigraftError as error:
                problems.append(f"{section}.{name}: {error}")
    if problems:
        raise InputError("\n".join(problems), where="configuration")
    return found


def _model(reference: str) -> list[str]:
    return [str(path) for path in source_files(reference)]


def _existing(paths: dict[str, str] | str) -> list[str]:
    files = [paths] if isinstance(paths, str) else list(paths.values())
    for file in files:
        if not Path(file).is_file():
            raise InputError(f"the file {file!r} does not exist", hint="give the path of a file of word vectors")
    return files
