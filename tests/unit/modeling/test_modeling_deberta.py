"""DeBERTa v2 and v3 as sources: relative attention, two kinds of heads, narrow embeddings; real classes, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from modeling_cases import SIZES, assert_same, grafted, plain_model, shuffled, write_checkpoint
from safetensors.torch import load_file, save_file

from lexigraft.artifacts import Provenance, read_tensors
from lexigraft.errors import InputError
from lexigraft.sources.build import write_source
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.vocabulary_table import vocabulary_table

NAME = "deberta-v2"
MASK = (torch.arange(30) < 27).long()[None]


def test_the_other_head_computes_the_same_under_the_names_of_the_legacy_one(tmp_path: Path) -> None:
    plain = plain_model(NAME, legacy=False)
    assert "lm_predictions.lm_head.dense.weight" in plain.state_dict()
    permutation = shuffled()
    model, source = grafted(write_checkpoint(tmp_path / "model", plain, NAME), tmp_path, permutation)
    assert model.config.legacy is True
    weights = read_tensors(source / "model.safetensors", "source")
    head = {name for name in weights if not name.startswith("deberta.")}
    parts = ("dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias")
    assert head == {"cls.predictions.bias", *(f"cls.predictions.transform.{part}" for part in parts)}
    assert_same(model, plain, permutation, MASK)


@pytest.mark.parametrize("legacy", [True, False, None])
def test_of_two_heads_the_configuration_chooses(tmp_path: Path, legacy: bool | None) -> None:
    """Published checkpoints hold `lm_predictions` and say nothing of `legacy`, which is then true by default."""
    old, new = plain_model(NAME, legacy=True), plain_model(NAME, seed=0, legacy=False)
    new.deberta.load_state_dict(old.deberta.state_dict())
    checkpoint = write_checkpoint(tmp_path / "model", old if legacy is not False else new, NAME)
    weights = {**old.state_dict(), **new.state_dict()}
    if legacy is None:
        weights = dict(new.state_dict())
    weights = {name: value.clone() for name, value in weights.items() if not name.endswith("decoder.weight")}
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    permutation = np.arange(SIZES["vocab_size"])
    model, _ = grafted(checkpoint, tmp_path, permutation)
    assert_same(model, old if legacy else new, permutation, MASK)


def test_other_tensors_of_published_checkpoints_are_left_out(tmp_path: Path) -> None:
    plain = plain_model(NAME, legacy=False)
    checkpoint = write_checkpoint(tmp_path / "model", plain, NAME)
    weights = load_file(checkpoint / "model.safetensors")
    weights["mask_predictions.dense.weight"] = torch.zeros(24, 24)
    weights["deberta.embeddings.position_embeddings.weight"] = torch.zeros(40, 24)
    torch.save(weights, checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()
    model, source = grafted(checkpoint, tmp_path, np.arange(SIZES["vocab_size"]))
    names = set(read_tensors(source / "model.safetensors", "source"))
    assert not [name for name in names if "mask_predictions" in name or "position_embeddings" in name]
    assert_same(model, plain, np.arange(SIZES["vocab_size"]), MASK)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: plain_model(NAME, embedding_size=16).deberta, "none can be added: its word embeddings are 16 wide"),
        # transformers cannot run such a model either: its head multiplies hidden states by the narrow table
        (lambda: plain_model(NAME, embedding_size=16, legacy=False), r"dense\.weight' is \(24, 24\), but .* \(16, 24\)"),
    ],
)
def test_narrow_embeddings_need_a_head_that_fits(tmp_path: Path, model: Any, message: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "model", model(), NAME)
    with pytest.raises(InputError, match=message):
        write_source(SourceSettings(model=str(checkpoint), languages=["eng_Latn"]), tmp_path / "out", Provenance("source"))
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_is_a_sentencepiece_model(tmp_path: Path) -> None:
    """As the published checkpoints have it: `spm.model`, no tokenizer.json."""
    text = tmp_path / "text.txt"
    text.write_text("the water of the river\nin the water and the house\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "spm"), vocab_size=36, hard_vocab_limit=False, minloglevel=2,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
    )  # fmt: skip
    (tmp_path / "config.json").write_text('{"model_type": "deberta-v2"}')
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    tokenizer = open_tokenizer(tmp_path)
    table = vocabulary_table(tokenizer)
    roles = dict(table.drop_nulls("role").select("role", "token").iter_rows())
    assert roles == {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
    ids = tokenizer("the water")["input_ids"]
    assert (ids[0], ids[-1]) == (1, 2)
    assert "".join(table["surface"][index] for index in ids[1:-1]) == " the water"
