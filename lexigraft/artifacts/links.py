"""Links to files of a shared cache, and their entries in its manifests (`lexigraft.shared_cache` writes them)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shared:
    """The target of a link: the entry's folder, the file in it, and the identity it was stored with, if known."""

    entry: Path
    file: Path
    identity: str | None


def shared_file(path: Path) -> Shared | None:
    """The target of a link into a shared cache; None for any other file."""
    if not path.is_symlink():
        return None
    file = path.resolve()
    try:
        manifest = json.loads((file.parent / "manifest.json").read_bytes())
        return Shared(file.parent, file, str(manifest["files"][file.name]["identity"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):  # a damaged manifest
        return Shared(file.parent, file, None)
