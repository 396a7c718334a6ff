"""What holds of every family, from a checkpoint on: the source's function and hidden states, training of all parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modeling_cases import (
    FAMILY_NAMES,
    LONG,
    assert_same,
    grafted_at_full_rank,
    plain_model,
    random_factorized,
    shuffled,
    write_checkpoint,
)
from transformers import AutoTokenizer

from lexigraft.evaluation.retrieval import SentenceEncoder
from lexigraft.modeling.export import materialize
from lexigraft.pretraining.optimizer import GROUPS, adamw
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.training.optimizer import set_rates


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_from_checkpoint_to_the_same_logits(tmp_path: Path, name: str) -> None:
    plain, permutation = plain_model(name), shuffled()
    model, _ = grafted_at_full_rank(write_checkpoint(tmp_path / "model", plain, name), tmp_path, permutation)
    assert_same(model, plain, permutation)


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_sentence_vectors_are_the_mean_of_the_layers_hidden_states(tmp_path: Path, name: str, layer: int) -> None:
    """Also before the last layer, where the LayerNorm behind the layers of a ModernBERT has no say."""
    plain = plain_model(name, num_hidden_layers=4)
    tokenizer = AutoTokenizer.from_pretrained(write_checkpoint(tmp_path, plain, name))
    text = "w7 w8 w30 w31 w32 w33 w34 w35 w36 w37 w12"
    with torch.no_grad():
        states = plain(**tokenizer(text, return_tensors="pt", return_token_type_ids=False), output_hidden_states=True)
    others = [other for other in (3, 1, 2) if other < layer]
    encoder = SentenceEncoder(plain, tokenizer, [layer, *others], 512, torch.device("cpu"))
    vectors = encoder.encode_layers([text, "w7"], "test")
    for vector, which in zip(vectors[:, 0], [layer, *others], strict=True):
        np.testing.assert_allclose(vector, states.hidden_states[which][0].mean(dim=0).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_hidden_states_and_attentions_of_all_layers_can_be_had(name: str) -> None:
    model = random_factorized(name, num_hidden_layers=3)
    plain = materialize(model)
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
