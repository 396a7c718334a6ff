"""Continual pre-training against plain torch: steps, phases, options, and both objectives."""

from __future__ import annotations

import logging
import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_cases import (
    LANGUAGES,
    LENGTH,
    VOCAB,
    history,
    job,
    run,
    same_files,
    vocabulary,
    weights,
    write_folder,
    write_inputs,
    write_shards,
    write_step_0,
    write_vocabulary,
)
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from lexigraft.artifacts import read_table
from lexigraft.modeling.factorized import FactorizedDecoder, FactorizedEmbedding
from lexigraft.modeling.families import FAMILIES
from lexigraft.modeling.heads import output_head
from lexigraft.modeling.load import load_model
from lexigraft.pretraining.loop import Data
from lexigraft.pretraining.optimizer import adamw, schedule, set_rates
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.pretraining.trainable import GROUPS, load_trainable, parameter_groups
from lexigraft.pretraining.watch import duration


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def groups_by_name(folder: Path, objective: str = "mlm") -> dict[str, str]:
    model = load_trainable(folder / "step-0", objective)
    held = {id(parameter): group for group, members in parameter_groups(model).items() for parameter in members}
    return {name: held[id(parameter)] for name, parameter in model.named_parameters()}


class TestOptimizer:
    def test_without_warmup_the_schedule_is_transformers_linear_one(self) -> None:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = get_linear_schedule_with_warmup(optimizer, 0, 20)
        for step in range(1, 21):
            assert schedule(step, 20, 0) == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_without_warmup_the_cosine_is_transformers_one(self) -> None:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = get_cosine_schedule_with_warmup(optimizer, 0, 20)
        for step in range(1, 21):
            assert schedule(step, 20, 0, "cosine") == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_warmup_rises_to_1_and_falls_to_the_end(self) -> None:
        factors = [schedule(step, 10, 3) for step in range(1, 11)]
        assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
        assert factors[3:] == pytest.approx([1 - i / 7 for i in range(7)])
        assert [schedule(step, 10, 3, "constant") for step in range(1, 11)] == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])

    @pytest.mark.parametrize("family", sorted(FAMILIES))
    def test_groups_hold_every_parameter_once(self, tmp_path: Path, family: str) -> None:
        write_step_0(tmp_path, family)
        model = load_model(tmp_path / "step-0")
        optimizer = adamw(model, PretrainingSettings(corpus="c", weight_decay=0.01))
        held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(held)
        names = dict(model.named_parameters())
        assert set(held) == {id(parameter) for parameter in names.values()}
        embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
        special = {id(embedding.coordinates): "coordinates", id(embedding.primitives): "primitives", id(output.bias): "bias"}
        encoder = {id(parameter) for parameter in model.base_model.parameters()}
        for name, parameter in names.items():
            group = held[id(parameter)]
            assert group["weight_decay"] == (0.0 if "bias" in name or "norm" in name.lower() else 0.01)
            assert group["group"] == special.get(id(parameter), "encoder" if id(parameter) in encoder else "head")

    def test_the_names_of_groups_are_those_of_the_settings(self) -> None:
        assert set(GROUPS) == set(PretrainingSettings(corpus="c").learning_rates.by_group())

    def test_frozen_groups_are_freed_again(self, inputs: Path) -> None:
        model = load_model(inputs / "step-0")
        optimizer = adamw(model, PretrainingSettings(corpus="c"))
        for encoder in (0.0, 1e-3, 0.0):
            set_rates(optimizer, dict.fromkeys(GROUPS, 1e-3) | {"encoder": encoder}, 0.5)
            for group, members in parameter_groups(model).items():
                assert all(parameter.requires_grad == (group != "encoder" or encoder > 0) for parameter in members)
        assert {group["lr"] for group in optimizer.param_groups} == {0.0, 5e-4}


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

        data = Data.of(job(tmp_path, tmp_path / "reference", **changes))
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

    def test_a_model_that_is_not_factorised(self, tmp_path: Path) -> None:
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
        torch.manual_seed(0)
        config = RobertaConfig(vocab_size=VOCAB, max_position_embeddings=24, pad_token_id=1, dtype="float32", **shape)
        config.architectures = ["RobertaForMaskedLM"]
        write_folder(tmp_path, RobertaForMaskedLM(config))
        write_vocabulary(tmp_path / "vocabulary.parquet", vocabulary())
        write_shards(tmp_path)
        out = run(tmp_path, tmp_path / "out")
        of_group = groups_by_name(tmp_path)
        assert of_group["roberta.embeddings.word_embeddings.weight"] == "coordinates"
        assert set(of_group.values()) == set(GROUPS) - {"primitives"}
        assert all((weights(out, 8)[name] != value).any() for name, value in weights(tmp_path, 0).items())

    def test_learns(self, inputs: Path, tmp_path: Path) -> None:
        given_inputs = shutil.copytree(inputs, tmp_path / "inputs")
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

    def test_held_out_losses_are_the_models(self, inputs: Path, tmp_path: Path) -> None:
        out = run(inputs, tmp_path)
        data = Data.of(job(inputs, tmp_path / "job"))
        for step, tokens, language, loss, predicted in history(out, "held_out").iter_rows():
            model = load_model((inputs if step == 0 else out) / f"step-{step}")
            shard = next(shard for shard in data.shards if shard.language == language)
            rows = np.stack([shard[row] for row in shard.held_out])
            batch = data.objective.batch(rows, np.random.default_rng([0, 0]))
            logits = model(torch.from_numpy(batch.input_ids)).logits.flatten(0, 1)[batch.positions]
            assert loss == pytest.approx(cross_entropy(logits, torch.from_numpy(batch.labels)).item(), rel=1e-5)
            assert predicted == len(batch.labels)
            assert tokens == step * 8 * LENGTH
        assert set(history(out, "held_out")["step"]) == {0, 3, 8}

    def test_what_each_language_gave_is_counted(self, inputs: Path, tmp_path: Path) -> None:
        out = run(inputs, tmp_path / "out", sampling_exponent=0.5)
        told = job(inputs, tmp_path / "job", sampling_exponent=0.5)
        data = Data.of(told)
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

    def test_named_steps_are_whole_model_folders(self, inputs: Path, tmp_path: Path) -> None:
        out = run(inputs, tmp_path)
        files = {"history.parquet", "held_out.parquet", "languages.parquet", "speed.parquet", "step-3", "step-8"}
        assert {path.name for path in out.iterdir()} == files
        for step in (3, 8):
            folder = out / f"step-{step}"
            assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in (inputs / "step-0").iterdir())
            for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
                assert (folder / name).read_bytes() == (inputs / "step-0" / name).read_bytes()
            assert read_table(folder / "tokens.parquet", "pretraining").equals(
                read_table(inputs / "step-0" / "tokens.parquet", "initialization")
            )
            card = (folder / "README.md").read_text()
            assert f"the model after step {step} of 8" in card
            assert "swh_Latn (60), tur_Latn (36)" in card
            assert "initialised and then pre-trained further" in card
            assert "## How to load" in card
            ids = torch.arange(20)[None]
            # training mode would draw dropout
            assert torch.equal(load_model(folder)(ids).logits, load_model(folder)(ids).logits)
        assert any((weights(out, 3)[name] != weights(out, 8)[name]).any() for name in weights(out, 3))

    def test_a_named_step_is_the_model_of_that_step(self, inputs: Path, tmp_path: Path) -> None:
        # the same schedule, named or not
        both, last = run(inputs, tmp_path / "a"), run(inputs, tmp_path / "b", checkpoints=[8], save_every=3)
        assert weights(both, 8).keys() == weights(last, 8).keys()
        assert all((weights(both, 8)[name] == value).all() for name, value in weights(last, 8).items())
        assert history(both).equals(history(last))

    def test_frozen_groups_stay(self, inputs: Path, tmp_path: Path) -> None:
        rates = {"encoder": 0, "primitives": 1e-3, "coordinates": 0, "head": 1e-3, "bias": 0}
        before, after = weights(inputs, 0), weights(run(inputs, tmp_path, learning_rates=rates), 8)
        of_group = groups_by_name(inputs)
        assert {of_group[name] for name in before if (before[name] != after[name]).any()} == {"primitives", "head"}

    def test_a_phase_frees_what_it_froze(self, inputs: Path, tmp_path: Path) -> None:
        phases = [{"until": 3, "learning_rates": {"encoder": 0}}, {"until": 8}]
        out, of_group = run(inputs, tmp_path, phases=phases), groups_by_name(inputs)
        states = [weights(inputs, 0), weights(out, 3), weights(out, 8)]
        changed = [
            {of_group[name] for name in before if (before[name] != after[name]).any()} for before, after in pairwise(states)
        ]
        assert changed == [set(GROUPS) - {"encoder"}, set(GROUPS)]
        assert history(out)["phase"].to_list() == [1] * 3 + [2] * 5
        assert "learning rates, steps 1 to 3 | encoder 0, P 0.001" in (out / "step-8" / "README.md").read_text()


class TestOptions:
    def test_the_seed_decides_and_dropout_is_drawn(self, inputs: Path, tmp_path: Path) -> None:
        with_dropout, without = run(inputs, tmp_path / "a"), run(inputs, tmp_path / "b", dropout=0.0)
        assert (history(with_dropout)["loss"] != history(without)["loss"]).any()
        torch.manual_seed(99)  # whatever was drawn before
        assert same_files(with_dropout, run(inputs, tmp_path / "c"))

    def test_the_callers_generator_is_left_alone(self, inputs: Path, tmp_path: Path) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        run(inputs, tmp_path, steps=1, checkpoints=[1])
        assert torch.equal(torch.rand(3), expected)

    def test_bfloat16_follows_float32(self, inputs: Path, tmp_path: Path) -> None:
        full, half = run(inputs, tmp_path / "a"), run(inputs, tmp_path / "b", precision="bfloat16")
        assert (history(full)["loss"] != history(half)["loss"]).any()
        assert np.allclose(history(full)["loss"], history(half)["loss"], rtol=0.02)
        assert all(value.dtype == np.float32 for value in weights(half, 8).values())

    @pytest.mark.parametrize("changes", [{"activation_checkpointing": True}, {"attention": "eager"}])
    def test_how_it_is_computed_changes_rounding_alone(self, inputs: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
        without, with_it = run(inputs, tmp_path / "a", dropout=0.0), run(inputs, tmp_path / "b", dropout=0.0, **changes)
        assert np.allclose(history(without)["loss"], history(with_it)["loss"], rtol=1e-5)
        assert history(without)["step"].equals(history(with_it)["step"])

    def test_activations_are_computed_again(self, inputs: Path, tmp_path: Path) -> None:
        passes: list[int] = []

        def note(module: object, _args: object, _output: object) -> None:
            if type(module).__name__ == "BertIntermediate":
                passes.append(1)

        counts = []
        for again in (False, True):
            handle = torch.nn.modules.module.register_module_forward_hook(note)
            passes.clear()
            changes = {"steps": 1, "checkpoints": [1], "held_out_sequences": 0}
            run(inputs, tmp_path / str(again), activation_checkpointing=again, **changes)
            handle.remove()
            counts.append(len(passes))
        assert counts[1] - counts[0] == 2 * 4  # two layers, four micro-batches

    def test_a_compiled_encoder_trains_the_same(self, inputs: Path, tmp_path: Path) -> None:
        changes = {"steps": 2, "checkpoints": [2], "dropout": 0.0}
        plain = run(inputs, tmp_path / "a", **changes)
        with torch.compiler.set_stance("force_eager"):  # everything but the compiler itself, which takes minutes on a CPU
            compiled = run(inputs, tmp_path / "b", compile=True, **changes)
        assert np.allclose(history(plain)["loss"], history(compiled)["loss"], rtol=1e-6)

    def test_every_step_is_told_and_timed(self, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            out = run(inputs, tmp_path)
        assert "step 8 of 8: loss " in caplog.text
        assert "tokens/s, 0 s left" in caplog.text
        assert "held-out loss after step 3: mean of languages " in caplog.text
        speed = history(out, "speed")
        assert speed["step"].to_list() == list(range(1, 9))
        assert (speed["tokens_per_second"] > 0).all()
        assert speed["seconds_left"][-1] == 0

    @pytest.mark.parametrize(("seconds", "told"), [(12, "12 s"), (600, "10 min"), (3 * 3600 + 300, "3 h 05 min")])
    def test_durations(self, seconds: float, told: str) -> None:
        assert duration(seconds) == told

    def test_tensorboard_files(self, inputs: Path, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        out = run(inputs, tmp_path, tensorboard=True)
        assert list((out / "tensorboard").glob("events.*"))


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
    write_vocabulary(folder / "vocabulary.parquet", vocabulary())
    write_shards(folder)
    return folder


class TestCausal:
    def test_equals_transformers_own_loss(self, decoders: Path, tmp_path: Path) -> None:
        out = run(decoders, tmp_path / "out", objective="causal", dropout=0.0)
        data = Data.of(job(decoders, tmp_path / "reference", objective="causal"))
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

    def test_its_groups(self, decoders: Path) -> None:
        groups = groups_by_name(decoders, "causal")
        assert "coordinates" in groups.values()
        assert ("lm_head.weight" in groups) == ("head" in groups.values())  # Llama's output layer is not tied

    def test_a_factorised_decoder_trains(self) -> None:
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
