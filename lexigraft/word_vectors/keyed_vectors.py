"""Word vectors saved by gensim (`KeyedVectors.save`, files `.wv` and `.kv`), read without gensim and without running a pickle.

The file is a pickle of the object; arrays of more than 10 million numbers are in `.npy` files beside it
(https://github.com/piskvorky/gensim: `gensim/utils.py`, `SaveLoad`; `gensim/models/keyedvectors.py`). gensim 4 keeps the words
in `index_to_key`, gensim 3 in `index2word`, in the order of the rows of `vectors`, before 3.3 `syn0`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.word_vectors.pickled import Ignored, Inert, RefusedNameError, read_pickle, text_of

Floats = NDArray[np.float32]
_BLOCK_ROWS = 1 << 16
_SAVE_SO = "in Python with gensim: `KeyedVectors.load(path).save_word2vec_format(new_path, binary=True)`"


class _Saved(Inert):
    """A `KeyedVectors` object; its state are its attributes."""


class _Encoded(Inert):
    """Bytes as Python 3 writes them in protocol 2, still as text: a file may refer to one text many times."""


class _Dtype(Inert):
    """A dtype: called with its code, and the byte order is in its state."""


class _Array(Inert):
    """An array; its state: version, shape, dtype, whether in Fortran's order, data."""


class _FromBuffer(Inert):
    """An array of protocol 5: called with data, dtype, shape, order."""


class _Dictionary(Inert):
    """A dictionary of any kind, filled by the pickle."""

    def __new__(cls, *_: Any) -> Any:
        return {}


_CLASSES = ("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors", "WordEmbeddingsKeyedVectors")
_NAMES: dict[tuple[str, str], type[Inert]] = {
    **{("gensim.models.keyedvectors", name): _Saved for name in _CLASSES},
    **{("gensim.models.keyedvectors", name): Ignored for name in ("Vocab", "CompatVocab")},
    ("gensim.models.word2vec", "Vocab"): Ignored,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): Ignored,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Ignored for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
    ("_codecs", "encode"): _Encoded,
    **{("collections", name): _Dictionary for name in ("OrderedDict", "defaultdict")},
    **{
        (module, name): Ignored
        for module in ("builtins", "__builtin__")
        for name in ("int", "float", "bytes", "list", "dict", "set", "frozenset")
    },
}


def _array(saved: Inert) -> NDArray[Any]:
    """The array, a view of the mapped file if it is large.

    Raises:
        ValueError: it is not of floating-point numbers, or the bytes do not fill its shape.
    """
    if isinstance(saved, _FromBuffer):
        data, dtype, shape, order = saved.arguments
    else:
        _, shape, dtype, fortran, data = saved.state
        order = "F" if fortran else "C"
    if isinstance(data, _Encoded):
        data = data.arguments[0].encode("latin-1")
    numbers = np.frombuffer(data, _floats(dtype))
    # Python's integers: the product of sizes that a file makes up does not overflow
    if not all(isinstance(size, int) and 0 <= size <= len(numbers) for size in shape) or prod(shape) != len(numbers):
        raise ValueError(f"an array of shape {shape} holds {len(numbers)} numbers")
    return numbers.reshape(shape, order=order)


def _floats(saved: Any) -> np.dtype[Any]:
    if not isinstance(saved, _Dtype):
        raise ValueError("an array without a type")
    code, order = text_of(saved.arguments[0]), text_of(saved.state[1]) if saved.state else "<"
    if code not in ("f2", "f4", "f8") or order not in ("<", ">", "=", "|"):
        raise ValueError(f"vectors of type {order}{code} are not read")
    return np.dtype(code).newbyteorder(">" if order == ">" else "<")


# ------------------------------------------------------------------------------------------------------------ the file


class GensimVectors:
    """`KeyedVectors` saved by gensim 3 or 4."""

    def __init__(self, path: Path) -> None:
        """Read the words; vectors are read later, block by block.

        Raises:
            InputError: the file holds something else, or a file that belongs to it is missing.
        """
        self.path = path
        try:
            saved = read_pickle(path, _NAMES)
        except RefusedNameError as refused:
            raise _refusal(refused, path) from None
        if not isinstance(saved, _Saved) or not isinstance(saved.state, dict):
            raise InputError("the file holds no KeyedVectors of gensim", where=path, hint=_SAVE_SO)
        self._keys = _words(saved.state, path)
        self._inside, self._file = _source(saved.state, path)
        shape = self._open().shape
        if len(shape) != 2 or shape[0] != len(self._keys) or shape[1] < 1:
            shown = " x ".join(map(str, shape))
            problem = f"{len(self._keys)} words, but vectors of the shape {shown or '()'}"
            raise InputError(problem, where=self._file, hint="do both files belong together?")
        self.rows, self.dim = int(shape[0]), int(shape[1])
        self.expected_blocks = -(-self.rows // _BLOCK_ROWS)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """See `formats.VectorFile`."""
        for start in range(0, self.rows, _BLOCK_ROWS):
            # a file beside is mapped again for each block, so that earlier blocks do not stay in memory
            block = self._open()[start : start + _BLOCK_ROWS].astype(np.float32, order="C")
            yield pl.DataFrame({"key": self._keys[start : start + _BLOCK_ROWS]}), np.asarray(block)

    def _open(self) -> NDArray[Any]:
        try:
            if self._inside is not None:
                return _array(self._inside)
            array = np.load(self._file, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.dtype.itemsize > 8:
                raise ValueError(f"vectors of type {getattr(array, 'dtype', 'npz')} are not read")
            return array
        # numpy's readers of headers raise anything, and so does what a pickle makes up
        except Exception as error:
            problem = f"the vectors cannot be read: {' '.join(str(error).split())[:200]}"
            raise InputError(problem, where=self._file, hint="get the file again, or " + _SAVE_SO) from None


def _refusal(refused: RefusedNameError, path: Path) -> InputError:
    if refused.module.split(".")[0] == "gensim":
        hint = "save the vectors alone: `model.wv.save(path)`, or " + _SAVE_SO.replace("KeyedVectors", refused.name)
        return InputError(f"the file holds a {refused}, of which vectors are not read", where=path, hint=hint)
    problem = f"the pickle names {refused}, which no file of word vectors needs"
    return InputError(problem, where=path, hint="nothing of it was run; get the file from its source")


def _words(attributes: dict[str, Any], path: Path) -> pl.Series:
    words = next((attributes[name] for name in ("index_to_key", "index2word", "index2entity") if attributes.get(name)), None)
    if not isinstance(words, list):
        raise InputError("the file holds no list of words", where=path, hint=_SAVE_SO)
    try:
        texts = [text_of(word) for word in words]
        # a pickle can name one long text millions of times
        if sum(map(len, texts)) > path.stat().st_size:
            raise ValueError("many are references to one text")
        return pl.Series(texts, dtype=pl.String)
    except ValueError as error:
        raise InputError(f"of the {len(words)} words, {error}", where=path, hint=_SAVE_SO) from None


def _source(attributes: dict[str, Any], path: Path) -> tuple[Inert | None, Path]:
    """The array in the pickle and its file, or None and the file beside it."""
    beside = attributes.get("__numpys")
    for name in ("vectors", "syn0"):
        if isinstance(found := attributes.get(name), _Array | _FromBuffer):
            return found, path
        if isinstance(beside, list) and name in beside:
            file = path.with_name(f"{path.name}.{name}.npy")
            if not file.is_file():
                hint = "gensim saves large arrays in files of their own: put it beside the other, under this name"
                raise InputError(f"file {file.name!r} does not exist, and the vectors are in it", where=file, hint=hint)
            return None, file
    raise InputError("the file holds no vectors", where=path, hint=_SAVE_SO)
