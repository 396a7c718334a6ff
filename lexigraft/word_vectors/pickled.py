"""Reading what a pickle describes without loading it.

A pickle is a program for a stack machine that can import anything and call it. Here its opcodes are followed with inert data
only: what it would import becomes a `Name`, what it would call is looked up in a closed table of functions of our own, and
anything else is an error. Nothing is imported, nothing that the file names is called, and a size that the file states is held
against the length of the file before memory is taken for it.

Opcodes: `pickletools` in Python's library; PEP 3154 (protocol 4), PEP 574 (protocol 5).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Protocol, runtime_checkable

from lexigraft.errors import InputError

PROTOCOLS = range(2, 6)
_OPCODE_NAMES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}
_MOST_BYTES_IN_MEMORY = 1 << 16
_LONGEST_TEXT = 1 << 28
_LONGEST_INTEGER = 16


@dataclass(frozen=True, slots=True)
class Name:
    """What a pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that were left in the file."""

    start: int
    length: int


@runtime_checkable
class Stateful(Protocol):
    """What a function of the table may return for something that is given a state later."""

    def set_state(self, state: Any) -> None:
        """Take the state; raises ValueError where it is none that fits."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All that a pickle may name.

    Attributes:
        calls: by name, functions that make inert data of the arguments that the named thing would be called with. They must
            trust nothing of what they are given, and raise ValueError or TypeError where it does not fit.
        values: names that may stand as arguments, such as types.
        refusal: problem and hint of the error for any other name.
    """

    calls: Mapping[Name, Callable[..., Any]]
    values: frozenset[Name]
    refusal: Callable[[Name], tuple[str, str]]


def read_pickle(path: Path, vocabulary: Vocabulary) -> Any:
    """Follow a pickle of protocol 2 to 5 and return what it describes.

    That is made of None, bool, int, float, str, bytes, `Span` (bytes beyond 64 KiB, which stay in the file), list (of sets
    too), tuple, dict with strings for keys, `Name`, and what the functions of the vocabulary return.

    Raises:
        InputError: the pickle is truncated, states sizes that cannot be, or holds anything else.
    """
    with path.open("rb") as file:
        machine = _Machine(file, path.stat().st_size, vocabulary)
        try:
            return machine.run()
        except (ValueError, IndexError, KeyError, TypeError, RecursionError) as error:
            problem = f"the pickle cannot be followed: {' '.join(str(error).split())[:200]}"
            hint = "get the file again; nothing of it was run"
            raise InputError(problem, where=f"{path}, byte {machine.opcode_at}", hint=hint) from None
        except _RefusedError as refused:
            problem, hint = vocabulary.refusal(refused.name)
            raise InputError(problem, where=f"{path}, byte {machine.opcode_at}", hint=hint) from None


class _RefusedError(Exception):
    def __init__(self, name: Name) -> None:
        super().__init__(str(name))
        self.name = name


class _Machine:
    """The stack machine with inert data; one method an opcode or group of opcodes."""

    def __init__(self, file: BinaryIO, size: int, vocabulary: Vocabulary) -> None:
        self._file, self._size, self._vocabulary = file, size, vocabulary
        self.opcode_at = 0
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: list[Any] = []

    def run(self) -> Any:
        read, operations = self._file.read, self._operations()
        while opcode := read(1):
            if opcode == b".":
                return self._stack.pop()
            operation = operations.get(opcode)
            if operation is None:
                self.opcode_at = self._file.tell() - 1
                known = _OPCODE_NAMES.get(opcode)
                raise ValueError(f"it holds the opcode {known}" if known else f"no pickle has the opcode {opcode!r}")
            try:
                operation()
            except Exception:
                self.opcode_at = self._file.tell()
                raise
        self.opcode_at = self._size
        raise ValueError("it is truncated")

    def _operations(self) -> dict[bytes, Callable[[], None]]:
        constants = {b"N": None, b"\x88": True, b"\x89": False}
        # a set is a list here: what is in it need not be fit for one
        containers = {b"]": list, b"}": dict, b")": tuple, b"\x8f": list}
        numbers = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
        texts = {b"\x8c": 1, b"X": 4, b"\x8d": 8}
        strings = {b"C": 1, b"B": 4, b"\x8e": 8, b"\x96": 8, b"U": 1, b"T": 4}
        return {
            b"\x80": self._protocol,
            b"\x95": self._frame,
            **{code: partial(self._stack_push, value) for code, value in constants.items()},
            **{code: partial(self._push_new, kind) for code, kind in containers.items()},
            **{code: partial(self._push_number, Struct(form)) for code, form in numbers.items()},
            **{code: partial(self._push_text, width) for code, width in texts.items()},
            **{code: partial(self._push_bytes, width) for code, width in strings.items()},
            b"\x8a": partial(self._push_long, 1),
            b"\x8b": partial(self._push_long, 4),
            b"(": self._mark,
            b"0": self._pop,
            b"1": self._pop_mark,
            b"\x94": self._memoize,
            b"q": partial(self._put, 1),
            b"r": partial(self._put, 4),
            b"h": partial(self._get, 1),
            b"j": partial(self._get, 4),
            b"a": self._append,
            b"e": self._appends,
            b"\x90": self._appends,
            b"s": self._set_item,
            b"u": self._set_items,
            b"t": self._tuple_since_mark,
            b"\x91": self._tuple_since_mark,
            b"\x85": partial(self._tuple, 1),
            b"\x86": partial(self._tuple, 2),
            b"\x87": partial(self._tuple, 3),
            b"c": self._global,
            b"\x93": self._stack_global,
            b"R": self._call,
            b"\x81": self._call,
            b"b": self._build,
        }

    # --------------------------------------------------------------------------------------------------------- reading

    def _read(self, length: int) -> bytes:
        if length > _MOST_BYTES_IN_MEMORY:
            self._check_there(length)
        data = self._file.read(length)
        if len(data) < length:
            raise ValueError(f"it states {length} bytes, the file ends before")
        return data

    def _check_there(self, length: int) -> None:
        if length > self._size - self._file.tell():
            raise ValueError(f"it states {length} bytes, the file ends before")

    def _length(self, width: int) -> int:
        return int.from_bytes(self._read(width), "little")

    def _protocol(self) -> None:
        protocol = self._read(1)[0]
        if protocol not in PROTOCOLS:
            raise ValueError(f"it is of protocol {protocol}; {PROTOCOLS[0]} to {PROTOCOLS[-1]} are read")

    def _frame(self) -> None:
        self._read(8)

    def _push_number(self, form: Struct) -> None:
        self._stack.append(form.unpack(self._read(form.size))[0])

    def _push_text(self, width: int) -> None:
        length = self._length(width)
        if length > _LONGEST_TEXT:
            raise ValueError(f"it states a text of {length} bytes")
        self._stack.append(self._read(length).decode("utf-8"))

    def _push_bytes(self, width: int) -> None:
        length = self._length(width)
        if length <= _MOST_BYTES_IN_MEMORY:
            self._stack.append(self._read(length))
            return
        self._check_there(length)
        self._stack.append(Span(self._file.tell(), length))
        self._file.seek(length, 1)

    def _push_long(self, width: int) -> None:
        length = self._length(width)
        if length > _LONGEST_INTEGER:
            raise ValueError(f"it states an integer of {length} bytes")
        self._stack.append(int.from_bytes(self._read(length), "little", signed=True))

    # -------------------------------------------------------------------------------------------------- stack and memo

    def _stack_push(self, value: Any) -> None:
        self._stack.append(value)

    def _push_new(self, kind: Callable[[], Any]) -> None:
        self._stack.append(kind())

    def _pop_mark(self) -> None:
        self._since_mark()

    def _memoize(self) -> None:
        self._memo.append(self._stack[-1])

    def _get(self, width: int) -> None:
        self._stack.append(self._memo[self._length(width)])

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _put(self, width: int) -> None:
        index = self._length(width)
        # numbers come in order; Python 2 began at 1
        if index > len(self._memo) + 1:
            raise ValueError(f"it numbers {len(self._memo)} objects up to {index}")
        self._memo += [None] * (index + 1 - len(self._memo))
        self._memo[index] = self._stack[-1]

    # ------------------------------------------------------------------------------------------------------ containers

    def _append(self) -> None:
        self._extend([self._stack.pop()])

    def _appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise ValueError("it appends to what is no list")
        self._stack[-1].extend(items)

    def _set_item(self) -> None:
        value = self._stack.pop()
        self._update([self._stack.pop(), value])

    def _set_items(self) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("it sets keys of what is no dictionary")
        target.update(zip(map(_key, items[::2]), items[1::2], strict=True))

    def _tuple_since_mark(self) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise ValueError("its stack is too short for a tuple")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    # ----------------------------------------------------------------------------------------------- names and objects

    def _global(self) -> None:
        module, name = (self._file.readline(1 << 10).removesuffix(b"\n").decode("ascii") for _ in range(2))
        self._push_name(module, name)

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("it names what is no name")
        found = Name(module, name)
        if found not in self._vocabulary.calls and found not in self._vocabulary.values:
            raise _RefusedError(found)
        self._stack.append(found)

    def _call(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        function = self._vocabulary.calls.get(called) if isinstance(called, Name) else None
        if function is None or not isinstance(arguments, tuple):
            raise ValueError(f"it calls a {called if isinstance(called, Name) else type(called).__name__}")
        self._stack.append(function(*arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if not isinstance(target, Stateful):
            raise ValueError("it gives a state to what has none")
        target.set_state(state)


def _key(value: Any) -> str:
    # Python 2 wrote attribute names as bytes
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise ValueError(f"a key of a dictionary is no text but a {type(value).__name__}")
    return text
