"""Files of word vectors in every format, and what is read of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance
from lexigraft.errors import InputError
from lexigraft.settings import parse
from lexigraft.word_vectors.read import write_vector_files
from lexigraft.word_vectors.settings import VectorFiles
from lexigraft.word_vectors.table import WordVectors, read_word_vectors

Floats = NDArray[np.float32]
KEYS = ["water", "tur:$su", "otq:$ndöhi$", "a:b", "eng:x", "çeşme", "zho:水", "deu:a:b"]
EXPECTED = [
    ("eng", "water"),
    ("tur", " su"),
    ("otq", " ndöhi "),
    ("eng", "a:b"),
    ("eng", "x"),
    ("eng", "çeşme"),
    ("zho", "水"),
    ("deu", "a:b"),
]


def settings(paths: Any, **more: Any) -> VectorFiles:
    paths = {code: str(path) for code, path in paths.items()} if isinstance(paths, Mapping) else str(paths)
    value: VectorFiles = parse(VectorFiles, {"kind": "files", "paths": paths, **more})
    return value


def read(paths: Any, **more: Any) -> WordVectors:
    """What is read back from the artifact that is written of files."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "words.parquet", Path(folder) / "vectors.safetensors"
        write_vector_files(settings(paths, **more), *files, Provenance("word_vectors"))
        return read_word_vectors(*files)


def pairs(vectors: WordVectors) -> list[tuple[str, str]]:
    return list(zip(vectors.languages.to_list(), vectors.words.to_list(), strict=True))


def random_vectors(rows: int, dim: int = 3) -> Floats:
    return np.random.default_rng(7).standard_normal((rows, dim)).astype(np.float32)


def text_of(keys: Sequence[str], vectors: Floats, *, header: bool = True, end: str = "\n") -> bytes:
    lines = [f"{len(keys)} {vectors.shape[1]}"] if header else []
    lines += [f"{key} {' '.join(str(value) for value in row)}" for key, row in zip(keys, vectors, strict=True)]
    return "".join(line + end for line in lines).encode()


def binary_of(keys: Sequence[str], vectors: Floats, *, newline: bytes = b"") -> bytes:
    rows = (key.encode() + b" " + row.astype("<f4").tobytes() + newline for key, row in zip(keys, vectors, strict=True))
    return f"{len(keys)} {vectors.shape[1]}\n".encode() + b"".join(rows)


def error_of(paths: Any, **more: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(paths, **more)
    return str(caught.value)
