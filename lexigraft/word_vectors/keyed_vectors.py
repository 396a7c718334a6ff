"""Word vectors saved by gensim (`KeyedVectors.save`, files `.wv` and `.kv`), read without gensim and without loading a pickle.

The file is a pickle of the object; arrays of more than 10 million numbers lie beside it as `.npy`
(https://github.com/piskvorky/gensim: `gensim/utils.py`, `SaveLoad`; `gensim/models/keyedvectors.py`). gensim 4 keeps the words
in `index_to_key`, gensim 3 in `index2word`, in the order of the rows of `vectors`, before 3.3 `syn0`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.word_vectors.pickled import Name, Span, Vocabulary, read_pickle

Floats = NDArray[np.float32]
_BLOCK_ROWS = 1 << 16
_MOST_DIMENSIONS = 32
_WIDTHS = {"f2": 2, "f4": 4, "f8": 8}
_CLASSES = ("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors", "WordEmbeddingsKeyedVectors")
_SAVE_SO = "in Python with gensim: `KeyedVectors.load(path).save_word2vec_format(new_path, binary=True)`"


# ------------------------------------------------------------------------------------------------------------- inert objects


class Ignored:
    """What is of no interest: its state is thrown away."""

    def set_state(self, state: Any) -> None:
        # millions of these come in files of gensim 3
        if isinstance(state, dict):
            state.clear()


_IGNORED = Ignored()


class NumpyType:
    """A dtype."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        self.code = _ascii(code)
        self.order = "<"

    def set_state(self, state: Any) -> None:
        self.order = _ascii(state[1])

    @property
    def floats(self) -> np.dtype[Any]:
        """The dtype, if it is of floating-point numbers.

        Raises:
            ValueError: it is not.
        """
        if self.code not in _WIDTHS or self.order not in ("<", ">", "=", "|"):
            raise ValueError(f"vectors of type {self.order}{self.code} are not read")
        return np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<")


def _ascii(text: Any) -> str:
    found = text.decode("ascii") if isinstance(text, bytes) else text
    if not isinstance(found, str):
        raise ValueError(f"a {type(found).__name__} stands where numpy writes a text")
    return found


class NumpyArray:
    """An array whose numbers are in the file or were read as bytes."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.type: NumpyType | None = None
        self.fortran = False
        self.data: bytes | Span = b""

    def set_state(self, state: Any) -> None:
        _, shape, kind, self.fortran, data = state
        self.fill(shape, kind, data)

    def fill(self, shape: Any, kind: Any, data: Any) -> None:
        """Take what an array is made of; sizes are checked when it is read."""
        if not isinstance(kind, NumpyType) or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError("an array of no shape or type")
        if len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"an array of {len(shape)} dimensions")
        self.shape, self.type = tuple(shape), kind
        # arrays of objects, which cannot be vectors, hold a list
        self.data = data if isinstance(data, bytes | Span) else b""

    def opened(self, path: Path) -> NDArray[Any]:
        """The array, its numbers mapped from the file if they stayed there.

        Raises:
            ValueError: it is not of floating-point numbers, or the bytes do not fill its shape.
        """
        if self.type is None:
            raise ValueError("an array that was never filled")
        kind = self.type.floats
        order: Literal["C", "F"] = "F" if self.fortran else "C"
        length = self.data.length if isinstance(self.data, Span) else len(self.data)
        # Python's integers: the product of made-up sizes does not overflow
        if kind.itemsize * prod(self.shape) != length:
            raise ValueError(f"an array of shape {self.shape} holds {length} bytes")
        if isinstance(self.data, Span):
            return np.memmap(path, kind, "r", self.data.start, self.shape, order)
        return np.frombuffer(self.data, kind).reshape(self.shape, order=order)


class Saved:
    """A `KeyedVectors` object: its attributes."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def set_state(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise ValueError("the state of KeyedVectors is no dictionary")
        self.attributes.update(state)


def _array_of_buffer(data: Any, kind: Any, shape: Any, order: Any) -> NumpyArray:
    array = NumpyArray()
    array.fill(shape, kind, data)
    array.fortran = order == "F"
    return array


def _encoded(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("it encodes in another way than numpy does")
    if not isinstance(text, str):
        raise ValueError("it encodes what is no text")
    return text.encode("latin-1")


def _dictionary(*_: Any) -> dict[str, Any]:
    return {}


def _vocabulary() -> Vocabulary:
    cores = ("numpy.core", "numpy._core")
    builtins = ("builtins", "__builtin__")
    calls: dict[Name, Callable[..., Any]] = {
        **{Name("gensim.models.keyedvectors", name): Saved for name in _CLASSES},
        Name("gensim.models.keyedvectors", "Vocab"): lambda: _IGNORED,
        Name("gensim.models.keyedvectors", "CompatVocab"): lambda: _IGNORED,
        Name("gensim.models.word2vec", "Vocab"): lambda: _IGNORED,
        Name("numpy", "dtype"): NumpyType,
        **{Name(f"{core}.multiarray", "_reconstruct"): lambda *_: NumpyArray() for core in cores},
        **{Name(f"{core}.multiarray", "scalar"): lambda *_: _IGNORED for core in cores},
        **{Name(f"{core}.numeric", "_frombuffer"): _array_of_buffer for core in cores},
        Name("_codecs", "encode"): _encoded,
        **{Name(module, kind): lambda *_: _IGNORED for module in builtins for kind in ("set", "frozenset")},
        Name("collections", "OrderedDict"): _dictionary,
        Name("collections", "defaultdict"): _dictionary,
    }
    values = {
        Name("numpy", "ndarray"),
        *(Name(module, name) for module in builtins for name in ("int", "float", "list", "dict")),
    }
    return Vocabulary(calls, frozenset(values), _refusal)


def _refusal(name: Name) -> tuple[str, str]:
    if name.module.split(".")[0] == "gensim":
        hint = "save the vectors alone: `model.wv.save(path)`, or " + _SAVE_SO.replace("KeyedVectors", name.name)
        return f"the file holds a {name}, of which vectors are not read", hint
    return (
        f"the pickle names {name}, which no file of word vectors needs",
        "nothing of it was run; get the file from its source",
    )


# ------------------------------------------------------------------------------------------------------------------ the file


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the vectors lie: in the pickle, or in a file beside it."""

    path: Path
    inside: NumpyArray | None

    def open(self) -> NDArray[Any]:
        if self.inside is not None:
            return self.inside.opened(self.path)
        array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.dtype.itemsize not in _WIDTHS.values():
            raise ValueError(f"vectors of type {getattr(array, 'dtype', 'npz')} are not read")
        return array


class GensimVectors:
    """`KeyedVectors` saved by gensim 3 or 4."""

    def __init__(self, path: Path) -> None:
        """Read the words; vectors are read later, block by block.

        Raises:
            InputError: the file holds something else, or a file that belongs to it is missing.
        """
        self.path = path
        saved = read_pickle(path, _vocabulary())
        if not isinstance(saved, Saved):
            raise InputError("the file holds no KeyedVectors of gensim", where=path, hint=_SAVE_SO)
        self._keys = _words(saved.attributes, path)
        self._source = _source(saved.attributes, path)
        shape = self._open().shape
        if len(shape) != 2 or shape[0] != len(self._keys) or shape[1] < 1:
            shown = " x ".join(map(str, shape))
            problem = f"{len(self._keys)} words, but vectors of the shape {shown or '()'}"
            raise InputError(problem, where=self._source.path, hint="do both files belong together?")
        self.rows, self.dim = int(shape[0]), int(shape[1])

    @property
    def expected_blocks(self) -> int:
        """See `formats.VectorFile`."""
        return -(-self.rows // _BLOCK_ROWS)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """See `formats.VectorFile`."""
        for start in range(0, self.rows, _BLOCK_ROWS):
            # opened anew, so that what was mapped before does not stay in memory
            block = self._open()[start : start + _BLOCK_ROWS].astype(np.float32, order="C")
            yield pl.DataFrame({"key": self._keys[start : start + _BLOCK_ROWS]}), np.asarray(block)

    def _open(self) -> NDArray[Any]:
        try:
            return self._source.open()
        # numpy's readers of headers raise what they like
        except Exception as error:
            problem = f"the vectors cannot be read: {' '.join(str(error).split())[:200]}"
            raise InputError(problem, where=self._source.path, hint="get the file again, or " + _SAVE_SO) from None


def _words(attributes: dict[str, Any], path: Path) -> pl.Series:
    words = next((attributes[name] for name in ("index_to_key", "index2word", "index2entity") if attributes.get(name)), None)
    if not isinstance(words, list):
        raise InputError("the file holds no list of words", where=path, hint=_SAVE_SO)
    try:
        texts = [_text(word) for word in words]
        # a pickle can name one long text millions of times
        if sum(map(len, texts)) > path.stat().st_size:
            raise ValueError("many are one text named again and again")
        return pl.Series(texts, dtype=pl.String)
    except ValueError as error:
        raise InputError(f"of the {len(words)} words, {error}", where=path, hint=_SAVE_SO) from None


def _text(word: Any) -> str:
    # Python 2 wrote UTF-8
    text = word.decode("utf-8") if isinstance(word, bytes) else word
    if not isinstance(text, str):
        raise ValueError(f"one is no text but a {type(text).__name__}")
    return text


def _source(attributes: dict[str, Any], path: Path) -> _Source:
    beside = attributes.get("__numpys")
    beside = beside if isinstance(beside, list) else []
    for name in ("vectors", "syn0"):
        if isinstance(attributes.get(name), NumpyArray):
            return _Source(path, attributes[name])
        if name in beside:
            file = path.with_name(f"{path.name}.{name}.npy")
            if not file.is_file():
                hint = "gensim saves large arrays in files of their own: put it beside the other, under this name"
                raise InputError(f"file {file.name!r} does not exist, and the vectors are in it", where=file, hint=hint)
            return _Source(file, None)
    raise InputError("the file holds no vectors", where=path, hint=_SAVE_SO)
