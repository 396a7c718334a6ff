"""Pre-training of decoder models against the loss of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_cases import LENGTH, VOCAB, groups_by_name, history, job, run, write_data, write_folder
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lexigraft.modeling.factorized import FactorizedDecoder, FactorizedEmbedding
from lexigraft.modeling.output_head import output_head
from lexigraft.pretraining.data import TrainingData
from lexigraft.pretraining.optimizer import GROUPS, adamw, parameter_groups
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.training.optimizer import set_rates


def decoder(name: str) -> Any:
    torch.manual_seed(0)
    if name == "gpt2":
        config: Any = GPT2Config(
            vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=2, dtype="float32"
        )
        config.architectures = ["GPT2LMHeadModel"]
        return GPT2LMHeadModel(config)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=VOCAB, max_position_embeddings=24, bos_token_id=0, eos_token_id=2, pad_token_id=1, dtype="float32", **shape
    )
    config.architectures = ["LlamaForCausalLM"]
    return LlamaForCausalLM(config)


@pytest.fixture(params=["gpt2", "llama"])
def decoders(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "decoder"
    write_folder(folder, decoder(request.param))
    write_data(folder)
    return folder


class TestCausal:
    def test_equals_transformers_own_loss(self, decoders: Path, tmp_path: Path) -> None:
        out = run(decoders, tmp_path / "out", objective="causal", dropout=0.0)
        data = TrainingData.of(job(decoders, tmp_path / "reference", objective="causal"))
        model = AutoModelForCausalLM.from_pretrained(decoders / "step-0", dtype=torch.float32)
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
        for step, row in enumerate(history(out).iter_rows(named=True), start=1):
            ids = torch.from_numpy(np.concatenate([data.tokens(step, number) for number in range(4)])).long()
            loss = model.eval()(ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = 1e-3 * (9 - step) / 8
            optimizer.step()
            assert row["loss"] == pytest.approx(loss.item(), rel=1e-4)
            assert row["predicted"] == 8 * (LENGTH - 1)
        trained = AutoModelForCausalLM.from_pretrained(out / "step-8", dtype=torch.float32)
        for name, parameter in trained.named_parameters():
            assert torch.allclose(parameter, model.get_parameter(name), atol=2e-4), name

    def test_groups_of_its_parameters(self, decoders: Path) -> None:
        groups = groups_by_name(decoders, "causal")
        assert "coordinates" in groups.values()
        assert ("lm_head.weight" in groups) == ("head" in groups.values())  # Llama's output layer is not tied

    def test_the_loss_of_a_factorized_decoder_falls(self) -> None:
        """GPT-2 with F and P in place of its tables, on the losses that the engine uses."""
        model = decoder("gpt2")
        embedding = FactorizedEmbedding(VOCAB, 8, 32)
        output = FactorizedDecoder(embedding, None)
        output.coordinates, output.primitives = embedding.coordinates, embedding.primitives
        model.set_input_embeddings(embedding)
        model.set_output_embeddings(output)
        head, groups = output_head(model), parameter_groups(model)
        assert groups["coordinates"] == [embedding.coordinates]
        assert groups["primitives"] == [embedding.primitives]
        optimizer = adamw(model, PretrainingSettings(corpus="c"))
        set_rates(optimizer, dict.fromkeys(GROUPS, 1e-2), 1.0)
        ids = torch.arange(5, 5 + 2 * LENGTH).reshape(2, LENGTH)
        losses = []
        for _ in range(20):
            hidden = model.base_model(ids).last_hidden_state[:, :-1].flatten(0, 1)
            loss = head.loss(hidden, ids[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
