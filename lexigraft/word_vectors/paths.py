"""The files that word vectors are read from; imported when the workflow is parsed, so with light imports only."""

from __future__ import annotations

from glob import escape
from pathlib import Path

from lexigraft.errors import InputError
from lexigraft.word_vectors.settings import VectorFiles


def vector_files(settings: VectorFiles) -> list[Path]:
    """The files that the settings name, each followed by the arrays that gensim stored beside it (`<file>.vectors.npy`).

    Raises:
        InputError: a file does not exist.
    """
    named = [settings.paths] if isinstance(settings.paths, str) else list(settings.paths.values())
    for file in named:
        if not Path(file).is_file():
            raise InputError(f"the file {file!r} does not exist", hint="give the path of a file of word vectors")
    return [part for file in map(Path, named) for part in [file, *sorted(file.parent.glob(f"{escape(file.name)}.*.npy"))]]
