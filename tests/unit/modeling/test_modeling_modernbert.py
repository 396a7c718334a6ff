"""ModernBERT as a source: what it has of its own, from checkpoints of the real class with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modeling_cases import (
    LONG,
    OPTIONS,
    SIZES,
    assert_same,
    grafted_at_full_rank,
    plain_model,
    shuffled,
    vocabulary,
    write_checkpoint,
)
from torch.nn.functional import gelu, layer_norm
from transformers import (
    AutoModelForMaskedLM,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)

from lexigraft.artifacts import read_tensors
from lexigraft.modeling.configs import FactorizedModernBertConfig
from lexigraft.modeling.encoder import usable_positions
from lexigraft.modeling.export import materialize
from lexigraft.modeling.families import FAMILIES, factorize
from lexigraft.modeling.head import OFFSET, log_unigram
from lexigraft.pretraining.optimizer import parameter_groups

NAME = "modernbert"
# config.json of ModernBERT-base as it is on the hub, but for the sizes
HUB_CONFIG = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_pooling": "mean",
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "initializer_cutoff_factor": 2.0,
    "layer_norm_eps": 1e-05,
    "local_attention": 8,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 40,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "position_embedding_type": "absolute",
    "sep_token_id": 2,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "transformers_version": "4.47.0.dev0",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm_bias": True, "classifier_bias": True, "attention_bias": True, "mlp_bias": True},
        {"decoder_bias": False},
        {"num_hidden_layers": 5, "layer_types": ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]},
    ],
)
def test_from_checkpoint_to_the_same_logits(tmp_path: Path, changes: dict[str, Any]) -> None:
    plain = plain_model(NAME, **changes)
    checkpoint = write_checkpoint(tmp_path / "model", plain, NAME)
    permutation = shuffled()
    model, source = grafted_at_full_rank(checkpoint, tmp_path, permutation)
    assert set(read_tensors(source / "model.safetensors", "source")) == set(plain.state_dict()) - {"decoder.weight"}
    assert_same(model, plain, permutation)
    roles = {role: int(np.flatnonzero(permutation == vocabulary(NAME).roles.index(role))[0]) for role in ("pad", "bos", "eos")}
    assert (model.config.cls_token_id, model.config.sep_token_id) == (roles["bos"], roles["eos"])
    assert model.config.pad_token_id == roles["pad"]


def test_a_configuration_of_the_hub(tmp_path: Path) -> None:
    plain = plain_model(NAME)
    checkpoint = write_checkpoint(tmp_path / "model", plain, NAME)
    ours = {key: value for key, value in SIZES.items() if key != "max_position_embeddings"}
    ids = {f"{role}_token_id": vocabulary(NAME).roles.index(role) for role in ("pad", "bos", "eos")}
    (checkpoint / "config.json").write_text(json.dumps({**HUB_CONFIG, **ours, **ids}))
    model, _ = grafted_at_full_rank(checkpoint, tmp_path, np.arange(SIZES["vocab_size"]))
    torch.testing.assert_close(model(LONG).logits, plain(LONG).logits, rtol=1e-4, atol=1e-3)
    model.save_pretrained(tmp_path / "saved")
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(loaded(LONG).logits, model(LONG).logits, rtol=0, atol=0)
    assert loaded.config.layer_types == ["full_attention", "sliding_attention"]


@pytest.mark.parametrize("kind", [ModernBertModel, ModernBertForSequenceClassification, ModernBertForTokenClassification])
def test_a_checkpoint_without_masked_lm_head_gets_one(tmp_path: Path, kind: Any) -> None:
    """A classifier has a transform under the names of the masked language model's: it is not taken for one."""
    torch.manual_seed(0)
    plain = kind(ModernBertConfig(**{**SIZES, **OPTIONS[NAME], "pad_token_id": 3})).eval()
    checkpoint = write_checkpoint(tmp_path / "model", plain, NAME)
    model, source = grafted_at_full_rank(checkpoint, tmp_path, np.arange(SIZES["vocab_size"]))
    assert not [name for name in read_tensors(source / "model.safetensors", "source") if FAMILIES[NAME].in_head(name)]
    torch.testing.assert_close(
        model.base_model(LONG).last_hidden_state, plain.base_model(LONG).last_hidden_state, rtol=1e-3, atol=1e-4
    )
    assert (model.config.classifier_bias, model.config.decoder_bias, model.config.norm_bias) == (True, True, False)
    hidden = model.base_model(LONG).last_hidden_state
    transformed = layer_norm(gelu(hidden + OFFSET), (SIZES["hidden_size"],), model.head.norm.weight, eps=model.head.norm.eps)
    table = model.get_input_embeddings().coordinates @ model.get_input_embeddings().primitives
    expected = transformed @ table.T + torch.from_numpy(log_unigram(np.zeros(SIZES["vocab_size"], np.int64)))
    torch.testing.assert_close(model(LONG).logits, expected, rtol=1e-4, atol=1e-4)
    materialize(model)


def test_every_parameter_is_trained_in_the_group_it_belongs_to() -> None:
    model = FAMILIES[NAME].masked_lm(FactorizedModernBertConfig(**SIZES, **OPTIONS[NAME], embedding_rank=7, pad_token_id=3))
    groups = {id(parameter): group for group, parameters in parameter_groups(model).items() for parameter in parameters}
    expected = {"coordinates": "coordinates", "primitives": "primitives", "head": "head", "decoder": "bias", "model": "encoder"}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        assert groups[id(parameter)] == expected[parts[-1] if parts[-1] in expected else parts[0]], name


def test_other_heads_can_be_factorized(tmp_path: Path) -> None:
    model = FAMILIES[NAME].masked_lm(FactorizedModernBertConfig(**SIZES, embedding_rank=7, pad_token_id=3))
    model.save_pretrained(tmp_path)
    kind = factorize(ModernBertForTokenClassification, FactorizedModernBertConfig)
    tagger: Any = kind.from_pretrained(tmp_path, num_labels=4)
    torch.testing.assert_close(tagger.model(LONG).last_hidden_state, model.eval().model(LONG).last_hidden_state)
    assert tagger(LONG).logits.shape == (1, 30, 4)


def test_all_positions_can_be_used() -> None:
    assert usable_positions(FactorizedModernBertConfig(**SIZES, embedding_rank=7, pad_token_id=3)) == 40
