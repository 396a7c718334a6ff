"""Python imports this in every process of a recorded run: at exit, the process records what it loaded of the library."""

import atexit
import json
import os
import sys
from pathlib import Path

_FOLDER = os.environ["LEXIGRAFT_TEST_RECORDS"]
_opened: set[str] = set()


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and f"{os.sep}lexigraft{os.sep}" in arguments[0]:
        _opened.add(arguments[0])


def _write_record() -> None:
    record = {
        "arguments": sys.argv,
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] == "lexigraft"),
        # Python writes compiled files under temporary names first
        "files": sorted(name for name in _opened if not name.endswith(".py") and f"{os.sep}__pycache__{os.sep}" not in name),
    }
    Path(_FOLDER, f"{os.getpid()}.json").write_text(json.dumps(record), encoding="utf-8")


sys.addaudithook(_note)
atexit.register(_write_record)
