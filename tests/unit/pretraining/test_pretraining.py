"""Steps of continual pre-training against plain torch, and the files that a run writes."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining_cases import (
    LANGUAGES,
    LENGTH,
    VOCAB,
    groups_by_name,
    history,
    job,
    run,
    weights,
    write_data,
    write_folder,
    write_inputs,
    write_shards,
)
from torch.nn.functional import cross_entropy
from transformers import RobertaConfig, RobertaForMaskedLM

from lexigraft.artifacts import read_table
from lexigraft.errors import ConfigError
from lexigraft.modeling.load import load_model
from lexigraft.pretraining.data import TrainingData
from lexigraft.pretraining.optimizer import GROUPS


@pytest.fixture(scope="module")
def not_factorized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of a run with a model of transformers."""
    folder = tmp_path_factory.mktemp("not-factorized")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    torch.manual_seed(0)
    config = RobertaConfig(vocab_size=VOCAB, max_position_embeddings=24, pad_token_id=1, dtype="float32", **shape)
    config.architectures = ["RobertaForMaskedLM"]
    write_folder(folder, RobertaForMaskedLM(config))
    write_data(folder)
    return folder


class TestSteps:
    @pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
    def test_equals_plain_torch_on_whole_batches(self, tmp_path: Path, family: str) -> None:
        """Four micro-batches against one, logits in blocks at masked positions against all of them, fused against plain AdamW.

        In the first three steps the encoder is frozen.
        """
        write_inputs(tmp_path, family)
        rates = {"encoder": 1e-3, "primitives": 2e-3, "coordinates": 5e-4, "head": 3e-3, "bias": 4e-3}
        changes = {"dropout": 0.0, "learning_rates": rates, "warmup_steps": 2, "clip_norm": 0.5, "weight_decay": 0.1}
        phases = [{"until": 3, "learning_rates": {"encoder": 0, "bias": 1e-2}}, {"until": 8}]
        out = run(tmp_path, tmp_path / "out", **changes, phases=phases)

        data = TrainingData.of(job(tmp_path, tmp_path / "reference", **changes))
        model = load_model(tmp_path / "step-0")
        of_group = groups_by_name(tmp_path)
        parameters = [
            {"params": [p], "group": of_group[name], "weight_decay": 0.1 if p.ndim > 1 else 0.0}
            for name, p in model.named_parameters()
        ]
        optimizer = torch.optim.AdamW(parameters, foreach=False, fused=False)
        for step, row in enumerate(history(out).iter_rows(named=True), start=1):
            batches = [data.batch(step, number) for number in range(4)]
            ids = torch.from_numpy(np.concatenate([batch.input_ids for batch in batches]))
            labels = torch.full((4, 2 * LENGTH), -100)
            for number, batch in enumerate(batches):
                labels[number, batch.positions] = torch.from_numpy(batch.labels)
            loss = cross_entropy(model(ids).logits.view(-1, VOCAB), labels.view(-1))
            optimizer.zero_grad()
            loss.backward()
            now = rates | ({"encoder": 0.0, "bias": 1e-2} if step <= 3 else {})
            for group in optimizer.param_groups:
                group["lr"] = now[group["group"]] * min(step / 3, (9 - step) / 6)
                if now[group["group"]] == 0:
                    group["params"][0].grad = None
            trained = [p for p in model.parameters() if p.grad is not None]
            norm = torch.sqrt(sum((p.grad**2).sum() for p in trained))
            for parameter in trained:
                parameter.grad *= min(1.0, 0.5 / float(norm + 1e-6))
            optimizer.step()
            assert row["loss"] == pytest.approx(loss.item(), rel=1e-4)
            assert row["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3)
            shown = now["encoder"] or max(now.values())
            assert row["learning_rate"] == pytest.approx(shown * min(step / 3, (9 - step) / 6))
            assert row["tokens"] == step * 8 * LENGTH
            assert row["predicted"] == sum(len(batch.labels) for batch in batches)
            assert row["phase"] == (1 if step <= 3 else 2)
        found, start = weights(out, 8), weights(tmp_path, 0)
        for name, value in found.items():
            expected = model.get_parameter(name).detach().numpy()
            # Adam divides by the gradient's size: rounding shows where gradients are next to nothing
            assert np.abs(value - expected).max() < 0.05 * np.abs(expected - start[name]).max() + 1e-7, name

    def test_all_groups_of_a_model_without_factors_learn(self, not_factorized: Path, tmp_path: Path) -> None:
        out = run(not_factorized, tmp_path / "out")
        of_group = groups_by_name(not_factorized)
        assert of_group["roberta.embeddings.word_embeddings.weight"] == "coordinates"
        assert set(of_group.values()) == set(GROUPS) - {"primitives"}
        assert all((weights(out, 8)[name] != value).any() for name, value in weights(not_factorized, 0).items())

    def test_a_phase_that_trains_only_groups_the_model_lacks_is_refused(self, not_factorized: Path, tmp_path: Path) -> None:
        phases = [{"until": 3, "learning_rates": dict.fromkeys(GROUPS, 0) | {"primitives": 1e-3}}, {"until": 8}]
        message = r"phase 1 \(until step 3\) freezes everything: this model has encoder, coordinates, head, bias"
        with pytest.raises(ConfigError, match=message):
            run(not_factorized, tmp_path / "out", phases=phases)
        assert not (tmp_path / "out").exists()

    def test_the_loss_falls_on_a_language_that_can_be_learned(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        given_inputs = shutil.copytree(pretraining_inputs, tmp_path / "inputs")
        write_shards(given_inputs, largest=40)
        rates = dict.fromkeys(GROUPS, 1e-2)
        changes = {"steps": 60, "checkpoints": [60], "learning_rates": rates, "dropout": 0.0, "evaluate_every": 30}
        out = run(given_inputs, tmp_path / "out", **changes)
        table, held_out = history(out), history(out, "held_out")
        assert table["step"].to_list() == list(range(1, 61))
        assert table["loss"][0] == pytest.approx(math.log(VOCAB), abs=0.2)
        assert table["loss"][-10:].mean() < 0.8 * math.log(VOCAB)
        mean = held_out.drop("language").group_by("step", maintain_order=True).mean()
        assert mean["step"].to_list() == [0, 30, 60]
        assert mean["loss"][2] < 0.8 * mean["loss"][0]

    def test_held_out_losses_are_the_models(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        out = run(pretraining_inputs, tmp_path)
        data = TrainingData.of(job(pretraining_inputs, tmp_path / "job"))
        for step, tokens, language, loss, predicted in history(out, "held_out").iter_rows():
            model = load_model((pretraining_inputs if step == 0 else out) / f"step-{step}")
            shard = next(shard for shard in data.shards if shard.language == language)
            rows = np.stack([shard[row] for row in shard.held_out])
            batch = data.make_batch(rows, np.random.default_rng([0, 0]))
            logits = model(torch.from_numpy(batch.input_ids)).logits.flatten(0, 1)[batch.positions]
            assert loss == pytest.approx(cross_entropy(logits, torch.from_numpy(batch.labels)).item(), rel=1e-5)
            assert predicted == len(batch.labels)
            assert tokens == step * 8 * LENGTH
        assert set(history(out, "held_out")["step"]) == {0, 3, 8}

    def test_sequences_of_each_language_are_counted(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        out = run(pretraining_inputs, tmp_path / "out", sampling_exponent=0.5)
        data = TrainingData.of(job(pretraining_inputs, tmp_path / "job", sampling_exponent=0.5))
        seen = [data.tokens(step, number) for step in range(1, 9) for number in range(4)]
        known = {shard.language: {shard[row].tobytes() for row in range(shard.rows)} for shard in data.shards}
        held_out = {shard[row].tobytes() for shard in data.shards for row in shard.held_out}
        drawn = [sequence.tobytes() for batch in seen for sequence in batch]
        assert not held_out & set(drawn)
        table = history(out, "languages")
        for row in table.iter_rows(named=True):
            assert row["drawn"] == sum(sequence in known[row["language"]] for sequence in drawn)
            assert row["tokens_drawn"] == row["drawn"] * LENGTH
            assert row["sequences"] == row["sentences"] == LANGUAGES[row["language"]]
            assert row["epochs"] == pytest.approx(row["drawn"] / (row["sequences"] - row["held_out"]))
        assert table["drawn"].sum() == 64

    def test_named_steps_are_whole_model_folders(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        out = run(pretraining_inputs, tmp_path)
        files = {"history.parquet", "held_out.parquet", "languages.parquet", "speed.parquet", "step-3", "step-8"}
        assert {path.name for path in out.iterdir()} == files
        for step in (3, 8):
            folder = out / f"step-{step}"
            assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in (pretraining_inputs / "step-0").iterdir())
            for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
                assert (folder / name).read_bytes() == (pretraining_inputs / "step-0" / name).read_bytes()
            assert read_table(folder / "tokens.parquet", "pretraining").equals(
                read_table(pretraining_inputs / "step-0" / "tokens.parquet", "initialized_model")
            )
            card = (folder / "README.md").read_text()
            assert f"the model after step {step} of 8" in card
            assert "swh_Latn (60), tur_Latn (36)" in card
            assert "initialized and then pre-trained further" in card
            assert "## How to load" in card
            ids = torch.arange(20)[None]
            # training mode would draw dropout
            assert torch.equal(load_model(folder)(ids).logits, load_model(folder)(ids).logits)
        assert any((weights(out, 3)[name] != weights(out, 8)[name]).any() for name in weights(out, 3))

    def test_a_named_step_is_the_model_of_that_step(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        # the same schedule, named or not
        both, last = (
            run(pretraining_inputs, tmp_path / "a"),
            run(pretraining_inputs, tmp_path / "b", checkpoints=[8], save_every=3),
        )
        assert weights(both, 8).keys() == weights(last, 8).keys()
        assert all((weights(both, 8)[name] == value).all() for name, value in weights(last, 8).items())
        assert history(both).equals(history(last))

    def test_groups_frozen_in_one_phase_learn_in_the_next(self, pretraining_inputs: Path, tmp_path: Path) -> None:
        phases = [{"until": 3, "learning_rates": {"encoder": 0, "coordinates": 0, "bias": 0}}, {"until": 8}]
        out, of_group = run(pretraining_inputs, tmp_path, phases=phases), groups_by_name(pretraining_inputs)
        states = [weights(pretraining_inputs, 0), weights(out, 3), weights(out, 8)]
        changed = [
            {of_group[name] for name in before if (before[name] != after[name]).any()} for before, after in pairwise(states)
        ]
        assert changed == [{"primitives", "head"}, set(GROUPS)]
        assert history(out)["phase"].to_list() == [1] * 3 + [2] * 5
        assert "learning rates, steps 1 to 3 | encoder 0, P 0.001" in (out / "step-8" / "README.md").read_text()
