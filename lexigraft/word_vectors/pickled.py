"""Reading what a pickle describes without importing or calling anything that it names.

A pickle is a program that can import anything and call it. Here `find_class` knows a closed table of inert classes and refuses
every other name. The base is the standard library's unpickler in its Python version: a small hostile file can make the version
in C take any amount of memory (numbers of memo entries) or crash (hashes of deeply nested tuples).
"""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from lexigraft.errors import InputError

PROTOCOLS = range(2, 6)
# frames of protocol 4, which are read as a whole, have about 64 KiB
_LARGE = 1 << 18


class Inert:
    """Takes the place of what a pickle names: notes the arguments of its call and the state that it is given."""

    __slots__ = ("arguments", "state")
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> Self:
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Ignored(Inert):
    """Notes nothing."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> Self:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        # millions of these come in old files
        if isinstance(state, dict):
            state.clear()


Names = Mapping[tuple[str, str], type[Inert]]
"""Module and name -> what takes its place."""


class RefusedNameError(pickle.UnpicklingError):
    """A pickle names something that is not in the table."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"{module}.{name}"[:200])
        self.module, self.name = module, name


def read_pickle(path: Path, names: Names) -> Any:
    """Return what a pickle describes: plain values and instances of the classes in `names`.

    Keys of dictionaries are text, sets come as lists, and bytes beyond 256 KiB as a `memoryview` of the mapped file. Memory is
    bounded by the size of the file.

    Raises:
        RefusedNameError: the pickle names anything else.
        InputError: it is truncated, states sizes that cannot be, or is damaged in another way.
    """
    with path.open("rb") as file:
        try:
            return _Unpickler(_Mapped(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), names).load()
        except RefusedNameError:
            raise
        # what is damaged can make any of its steps fail
        except Exception as error:
            problem = f"the pickle cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
            raise InputError(problem, where=path, hint="get the file again; nothing of it was run") from None


class _Mapped:
    """A mapped file: reading takes no more memory than there is to read, and copies nothing large."""

    def __init__(self, pages: mmap.mmap) -> None:
        self._pages, self.readline = pages, pages.readline

    def read(self, length: int) -> Any:
        if length <= _LARGE:
            return self._pages.read(length)
        start = self._pages.tell()
        found = memoryview(self._pages)[start : start + length]
        self._pages.seek(start + len(found))
        return found


class _Unpickler(pickle._Unpickler):
    """Makes inert objects and plain values, and takes hashes of texts only."""

    def __init__(self, file: _Mapped, names: Names) -> None:
        # Python 2 wrote texts as bytes
        super().__init__(file, encoding="bytes")
        self._names = names

    def find_class(self, module: str, name: str) -> type[Inert]:
        if (module, name) not in self._names:
            raise RefusedNameError(module, name)
        return self._names[module, name]

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError(f"it names the registered extension {code}")

    def _dictionary(self: Any) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._update(items)

    def _set_items(self: Any) -> None:
        self._update(self.pop_mark())

    def _set_item(self: Any) -> None:
        value = self.stack.pop()
        self._update([self.stack.pop(), value])

    def _update(self: Any, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("it sets keys of what is no dictionary")
        self.stack[-1].update(zip(map(text_of, items[::2]), items[1::2], strict=True))

    dispatch = {
        **pickle._Unpickler.dispatch,
        pickle.DICT[0]: _dictionary,
        pickle.SETITEMS[0]: _set_items,
        pickle.SETITEM[0]: _set_item,
        pickle.EMPTY_SET[0]: pickle._Unpickler.dispatch[pickle.EMPTY_LIST[0]],
        pickle.ADDITEMS[0]: pickle._Unpickler.dispatch[pickle.APPENDS[0]],
        pickle.FROZENSET[0]: pickle._Unpickler.dispatch[pickle.TUPLE[0]],
        # its own version takes the memory that the file states
        pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]],
    }


def text_of(value: Any) -> str:
    """A text, which Python 2 wrote as UTF-8.

    Raises:
        ValueError: it is something else.
    """
    found = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(found, str):
        raise ValueError(f"one is no text but a {type(found).__name__}")
    return found
