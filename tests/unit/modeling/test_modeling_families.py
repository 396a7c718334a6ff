"""What holds of every family, from a checkpoint on: the source's function and hidden states, training of all parameters."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modeling_cases import (
    FAMILY_NAMES,
    LONG,
    ROLES,
    SIZES,
    assert_same,
    grafted,
    permuted,
    plain_config,
    plain_model,
    random_factorized,
    shuffled,
    vocabulary,
    write_checkpoint,
)
from torch.nn.functional import gelu, layer_norm
from transformers import (
    DebertaV2ForSequenceClassification,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
)

from lexigraft.artifacts import read_tensors
from lexigraft.modeling.added_head import OFFSET, log_unigram
from lexigraft.modeling.classes import class_of, embedding_width
from lexigraft.modeling.export import multiplied_out
from lexigraft.modeling.families import family_of
from lexigraft.pretraining.optimizer import GROUPS, adamw
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.training.optimizer import set_rates

WITH_POSITIONS = {"position_biased_input": True, "relative_attention": False, "conv_kernel_size": 0, "type_vocab_size": 2}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in FAMILY_NAMES),
    ("deberta-v2", WITH_POSITIONS),
    ("deberta-v2", {"pos_att_type": "c2p|p2c", "share_att_key": False, "position_buckets": -1}),
    ("deberta-v2", {"embedding_size": 16}),
    ("deberta-v2", {"embedding_size": 16, **WITH_POSITIONS}),
    ("modernbert", {"norm_bias": True, "classifier_bias": True, "attention_bias": True, "mlp_bias": True}),
    ("modernbert", {"decoder_bias": False}),
    ("modernbert", {"num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
]
WITHOUT_HEAD = [
    *((name, class_of(family_of(name), "base_model", factorized=False)) for name in FAMILY_NAMES),
    ("deberta-v2", DebertaV2ForSequenceClassification),
    ("modernbert", ModernBertForSequenceClassification),
    ("modernbert", ModernBertForTokenClassification),
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_from_checkpoint_to_the_same_logits(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    plain, permutation = plain_model(name, **changes), shuffled()
    model, source = grafted(write_checkpoint(tmp_path / "model", plain, name), tmp_path, permutation)
    weights = read_tensors(source / "model.safetensors", "source")
    assert weights.keys() == plain.state_dict().keys() - plain.all_tied_weights_keys
    assert_same(model, plain, permutation, (torch.arange(30) < 27).long()[None])
    width = changes.get("embedding_size", SIZES["hidden_size"])
    assert model.get_input_embeddings().primitives.shape[1] == embedding_width(plain.config) == width
    ids, roles = vars(model.config), permuted(vocabulary(name), permutation).roles
    assert [roles[ids[f"{role}_token_id"]] for role in ("pad", "bos", "eos")] == ["pad", "bos", "eos"]
    assert "cls_token_id" not in ids or [roles[ids[f"{role}_token_id"]] for role in ("cls", "sep")] == ["bos", "eos"]


@pytest.mark.parametrize(("name", "kind"), WITHOUT_HEAD)
def test_a_checkpoint_without_masked_lm_head_gets_one(tmp_path: Path, name: str, kind: Any) -> None:
    """A ModernBERT classifier has a transform under the names of the masked language model's, which is not used."""
    torch.manual_seed(0)
    plain = kind(plain_config(name, initializer_range=0.1, pad_token_id=ROLES[name].index("pad"))).eval()
    model, source = grafted(write_checkpoint(tmp_path / "model", plain, name), tmp_path, np.arange(SIZES["vocab_size"]))
    assert not [key for key in read_tensors(source / "model.safetensors", "source") if family_of(name).in_head(key)]
    hidden = model.base_model(LONG).last_hidden_state
    torch.testing.assert_close(hidden, plain.base_model(LONG).last_hidden_state, rtol=1e-3, atol=1e-4)
    norm = model.get_submodule(family_of(name).head_norm)
    transformed = layer_norm(gelu(hidden + OFFSET), (SIZES["hidden_size"],), norm.weight, eps=norm.eps)
    table = model.get_input_embeddings().coordinates @ model.get_input_embeddings().primitives
    expected = transformed @ table.T + torch.from_numpy(log_unigram(np.zeros(SIZES["vocab_size"], np.int64)))
    torch.testing.assert_close(model(LONG).logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(multiplied_out(model)(LONG).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_hidden_states_and_attentions_of_all_layers_are_those_of_the_plain_model(name: str) -> None:
    model = random_factorized(name, num_hidden_layers=3)
    plain = multiplied_out(model)
    for one in (model, plain):
        one.eval().set_attn_implementation("eager")
    with torch.no_grad():
        ours, theirs = (one(LONG, output_hidden_states=True, output_attentions=True) for one in (model, plain))
    assert len(ours.hidden_states) == 4
    assert len(ours.attentions) == 3
    for one, other in zip(ours.hidden_states + ours.attentions, theirs.hidden_states + theirs.attentions, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "changes"), [*((name, {}) for name in FAMILY_NAMES), ("deberta-v2", {"embedding_size": 16})])
def test_a_step_of_training_moves_every_parameter(name: str, changes: dict[str, Any]) -> None:
    model = random_factorized(name, **changes)
    optimizer = adamw(model, PretrainingSettings(corpus="c"))
    set_rates(optimizer, dict.fromkeys(GROUPS, 1e-3), 1.0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model.train()
    model(LONG, labels=LONG.flip(1)).loss.backward()
    optimizer.step()
    unmoved = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    # softmax takes a constant on all keys away
    assert not [name for name in unmoved if not name.endswith(("key_proj.bias", "self.key.bias"))]


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_all_that_a_familys_data_names_is_in_the_model(name: str) -> None:
    family, model = family_of(name), plain_model(name)
    assert type(model.base_model) is class_of(family, "base_model", factorized=False)
    assert model.config.model_type == name
    assert family.limits(vars(model.config))[:2] == (SIZES["hidden_size"], SIZES["num_hidden_layers"])
    words, output = family.table("input"), family.table("output")
    assert model.get_parameter(words.weight) is model.get_input_embeddings().weight
    assert model.get_parameter(output.weight) is model.get_output_embeddings().weight
    assert output.tied_to == words.weight == model._tied_weights_keys[output.weight]
    assert model.get_parameter(str(output.bias)) is model.get_output_embeddings().bias
    for module in (*family.head, family.head_dense, family.head_norm):
        assert family.in_head(f"{module}.weight")
        model.get_submodule(module)
    assert len(model.base_model.get_submodule(family.layers)) == 2
    assert family.final_norm is None or model.base_model.get_submodule(family.final_norm)
    with_positions = plain_model(name, position_biased_input=True)
    names = [key for key, _ in with_positions.named_parameters() if "position_embeddings" in key]
    assert names == ([family.positions] if family.positions else [])
    keys = {family.output_bias_key, family.norm_bias_key, *dict(family.head_options), *dict(family.added_head_options)} - {None}
    assert keys <= vars(model.config).keys()


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_models_and_configurations_can_be_pickled_and_copied(name: str) -> None:
    model = random_factorized(name)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        assert (type(copied), type(copied.config)) == (type(model), type(model.config))
        torch.testing.assert_close(copied(LONG).logits, model(LONG).logits, rtol=0, atol=0)
