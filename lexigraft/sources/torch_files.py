"""torch's own files of weights, read without running what they hold and without believing the sizes that they state.

Since torch 1.6 such a file is a zip archive, stored and not compressed, of a pickle and the numbers of each tensor. Before, it
was a sequence of five pickles, of which the fourth says what numbers follow. (https://github.com/pytorch/pytorch:
`torch/serialization.py`)
"""

from __future__ import annotations

import mmap
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

import torch

_PICKLES = 5
_OBJECT = 3
"""A magic number, a version, the machine, the object with the sizes of its arrays, and the arrays' names."""


def torch_file(file: Path) -> dict[str, torch.Tensor]:
    """Read a dictionary of tensors with `weights_only=True`, which makes tensors and plain values and calls nothing else.

    Raises:
        ValueError: the file states more than it holds, or holds something else.
        Exception: whatever torch raises for a damaged file.
    """
    size = file.stat().st_size
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            stated = sum(member.file_size for member in archive.infolist())
    else:
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            stated = _largest_number(data)
    if stated > size:
        raise ValueError(f"it states {stated} bytes or numbers, the file has {size} bytes")
    found = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError("it holds something else than a dictionary of tensors")
    return {str(name): tensor for name, tensor in found.items()}


def _largest_number(data: mmap.mmap) -> int:
    """The largest integer among the sizes of arrays; opcodes are read, not followed, and no text beyond the end is."""
    largest = 0
    for pickle in range(_PICKLES):
        # mapped memory gives what is there, where a file would first take the memory that is asked for
        for _, argument, _ in pickletools.genops(cast(BinaryIO, data)):
            if pickle == _OBJECT and isinstance(argument, int):
                largest = max(largest, argument)
    return largest
