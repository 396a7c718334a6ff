"""A process of limited memory that reads damaged files of every kind.

Run as a program: `python fuzz_cases.py READER,READER… SEED COUNT FOLDER`. Before each file it says which it is, so that a
process that dies tells on which one.
"""

from __future__ import annotations

import json
import logging
import random
import resource
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

from fuzz_damage import damaged
from fuzz_readers import READERS, Reader

from lexigraft.errors import LexigraftError

MORE_MEMORY = 768 << 20
"""Bytes of address space that a reader may take beyond what its process has after the whole files were read."""


def limit_memory(more: int) -> None:
    """Let the process take so many bytes of address space beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def attempt(reader: Reader, folder: Path, name: str, data: bytes) -> Any:
    """Read a file in a folder of its own; returns what was read, or the error that a user can act on."""
    shutil.rmtree(folder, ignore_errors=True)
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    try:
        return reader.read(path)
    except LexigraftError as error:
        return error


def main(names: list[str], seed: int, count: int, folder: Path) -> None:
    """Read whole files, then `count` damaged ones of each reader; all but a result or a LexigraftError ends the process."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    files = {name: READERS[name].whole() for name in names}
    right = {(name, file): attempt(READERS[name], folder, file, files[name][file]) for name in names for file in files[name]}
    for (name, file), result in right.items():
        assert not isinstance(result, LexigraftError), f"{name}, {file}: {result}"
    limit_memory(MORE_MEMORY)
    for name in names:
        reader, before, errors = READERS[name], peak(), 0
        for case in range(count):
            choose = random.Random(f"{name} {seed} {case}")
            file = choose.choice(sorted(files[name]))
            print(f"{name}, case {case} of seed {seed}: {file}", flush=True)
            found = attempt(reader, folder, file, damaged(files[name][file], choose))
            errors += isinstance(found, LexigraftError)
            if reader.same and not isinstance(found, LexigraftError):
                assert found == right[name, file], "a wrong artifact was believed"
        told = {"reader": name, "errors": errors, "results": count - errors, "grown": peak() - before}
        print("done " + json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
