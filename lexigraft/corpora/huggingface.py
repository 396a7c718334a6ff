"""Hugging Face datasets, from the hub or from a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lexigraft.corpora.adapter import Adapter, Block, sentence_block
from lexigraft.corpora.settings import HuggingFaceCorpus
from lexigraft.errors import InputError, MissingPackageError

_BATCH = 10_000
_SAVED = ("dataset_dict.json", "state.json")


class HuggingFaceText(Adapter):
    """Rows of a dataset, streamed where possible; ids are row numbers from 0. Code in datasets is never run.

    In a local folder a language's configuration may also be a subfolder with data files or the output of `save_to_disk`.
    """

    def __init__(self, settings: HuggingFaceCorpus) -> None:
        """Open every language's dataset to check that it exists and has the column.

        Raises:
            MissingPackageError: `datasets` is not installed.
            InputError: a dataset, configuration, split or column does not exist.
        """
        self.settings = settings
        self.languages = list(settings.languages)
        self.datasets = {language: _open(settings, name) for language, name in settings.languages.items()}
        for language, dataset in self.datasets.items():
            _check_column(dataset, settings.text_column, self.source(language))

    def source(self, language: str) -> str:
        return f"{self.settings.dataset}, {self.settings.languages[language]}, {self.settings.split}"

    def blocks(self, language: str) -> Iterator[Block]:
        column, first = self.settings.text_column, 0
        for batch in self.datasets[language].select_columns([column]).iter(_BATCH):
            yield sentence_block(first, batch[column])
            first += len(batch[column])


def _open(settings: HuggingFaceCorpus, name: str) -> Any:
    try:
        import datasets
    except ImportError:
        hint = "pip install datasets==5.2.0, or with this project: pip install 'lexigraft[hub]'"
        raise MissingPackageError("the package 'datasets' is not installed", hint=hint) from None
    folder = Path(settings.dataset)
    own_folder = folder / name if (folder / name).is_dir() else folder
    try:
        if any((own_folder / file).is_file() for file in _SAVED):
            saved = datasets.load_from_disk(str(own_folder))
            return saved[settings.split] if isinstance(saved, datasets.DatasetDict) else saved
        if folder.is_dir():
            configuration = None if own_folder != folder else name
            return datasets.load_dataset(str(own_folder), configuration, split=settings.split, streaming=True)
        return datasets.load_dataset(settings.dataset, name, split=settings.split, revision=settings.revision, streaming=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"dataset {settings.dataset!r}, configuration {name!r}, split {settings.split!r}: {_first_line(error)}",
            where="corpus with adapter 'huggingface'",
            hint="check `dataset`, `languages` (language -> configuration), `split`, and the connection to the hub",
        ) from None


def _check_column(dataset: Any, column: str, source: str) -> None:
    try:
        names = dataset.column_names or list(next(iter(dataset), {}))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot be read: {_first_line(error)}", where=source) from None
    if column not in names:
        hint = "set `text_column` to the column with the sentences"
        raise InputError(f"no column {column!r}: the dataset has {', '.join(names)}", where=source, hint=hint)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
