"""Continual pre-training: masking, order and schedule by their definitions, training against plain torch, and resumption."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from torch.nn.functional import cross_entropy
from torch.nn.modules.module import register_module_forward_hook
from transformers import get_linear_schedule_with_warmup

from lexigraft.artifacts import Provenance, identity, read_table, read_tensors, write_table
from lexigraft.errors import ArtifactError, ConfigError, InputError, LexigraftError
from lexigraft.modeling.factorized import FactorizedDecoder
from lexigraft.modeling.families import FAMILIES
from lexigraft.modeling.load import load_model
from lexigraft.modeling.saving import TOKENS_SCHEMA, write_model_folder
from lexigraft.pretraining.checkpoints import checkpoint_path
from lexigraft.pretraining.engine import pretrain
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.launch import launch
from lexigraft.pretraining.loop import masked_batch
from lexigraft.pretraining.masking import mask_tokens, masking_rule
from lexigraft.pretraining.optimizer import GROUPS, adamw, group_of, schedule
from lexigraft.pretraining.sequences import open_sequences, rows_at, unpack
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import parse
from lexigraft.tokenizers.vocabulary import SCHEMA, Vocabulary, read_vocabulary

VOCAB, LENGTH, SEED = 300, 16, 5
ROLES = ("bos", "pad", "eos", "unk", "mask")
PROVENANCE = Provenance("pretraining", parameters={"model": "tiny"}, seed=SEED, code="c0de")
DEFAULTS: dict[str, Any] = {
    "corpus": "tiny",
    "steps": 8,
    "checkpoints": [3, 8],
    "length": LENGTH,
    "batch_size": 2,
    "accumulation": 4,
    "learning_rates": dict.fromkeys(GROUPS, 1e-3),
    "save_every": 2,
}


def vocabulary(size: int = VOCAB) -> Vocabulary:
    tokens = tuple(f"<{role}>" for role in ROLES) + tuple(f"w{index}" for index in range(len(ROLES), size))
    roles = ROLES + (None,) * (size - len(ROLES))
    return Vocabulary(tokens, tokens, roles, np.ones(size, np.int64))


def write_vocabulary(path: Path, made: Vocabulary) -> None:
    rows = {"id": range(len(made)), "token": made.tokens, "surface": made.surfaces, "role": made.roles, "count": made.counts}
    write_table(path, pl.DataFrame(rows).cast(dict(SCHEMA)), Provenance("tokenizer"))


def write_sequences(path: Path, number: int = 96, length: int = LENGTH, largest: int = VOCAB - 1) -> None:
    """Sentences of a language in which every word is followed by the next one of the vocabulary."""
    rng = np.random.default_rng(1)
    text = np.arange(largest - 4)
    words = 5 + (rng.integers(len(text), size=(number, 1)) + np.arange(length)) % len(text)
    words[:, 0], words[:, -1] = ROLES.index("bos"), ROLES.index("eos")
    tokens = pl.Series(words.astype(np.int32), dtype=pl.Array(pl.Int32, length))
    write_table(path, pl.DataFrame({"tokens": tokens}), Provenance("pretraining_data"))


def write_step_0(folder: Path, family: str = "bert") -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "embedding_rank": 8}
    config = FAMILIES[family].config(
        vocab_size=VOCAB, max_position_embeddings=24, pad_token_id=1, bos_token_id=0, eos_token_id=2, dtype="float32", **shape
    )
    config.architectures = [FAMILIES[family].masked_lm.__name__]
    made = vocabulary()
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    Tokenizer(models.WordLevel(dict(zip(made.tokens, range(VOCAB), strict=True)), unk_token="<unk>")).save(
        str(tokenizer / "tokenizer.json")
    )
    (tokenizer / "tokenizer_config.json").write_text("{}")
    table = pl.DataFrame(
        {"id": range(VOCAB), "token": made.tokens, "surface": made.tokens, "origin": "random", "source_id": None}
    )
    card = "# tiny\n\ninitialised, not trained further\n\n## How to load\n\nas ever\n"
    tokens = table.cast(dict(TOKENS_SCHEMA))
    write_model_folder(
        FAMILIES[family].masked_lm(config), tokenizer, folder / "step-0", tokens, card, Provenance("initialization")
    )


def write_inputs(folder: Path, family: str = "bert") -> None:
    write_step_0(folder, family)
    write_vocabulary(folder / "vocabulary.parquet", vocabulary())
    write_sequences(folder / "sequences.parquet")


def run(inputs: Path, out: Path, *, gpus: int = 0, provenance: Provenance = PROVENANCE, **changes: Any) -> Path:
    """Pre-train on the CPU with one thread; inputs lie in `inputs`, results and state go to `out`."""
    wanted = PretrainingSettings(**{**DEFAULTS, **changes})
    pretrain(
        wanted,
        inputs / "step-0",
        inputs / "sequences.parquet",
        inputs / "vocabulary.parquet",
        {step: out / f"step-{step}" for step in wanted.checkpoints},
        out / "history.parquet",
        out / "state",
        SEED,
        1,
        gpus,
        provenance,
    )
    return out


def weights(folder: Path, step: int) -> dict[str, np.ndarray]:
    return read_tensors(folder / f"step-{step}" / "model.safetensors", ("initialization", "pretraining"))


def history(folder: Path) -> pl.DataFrame:
    return read_table(folder / "history.parquet", "pretraining")


def job(inputs: Path, out: Path, processes: int = 1, **changes: Any) -> Job:
    """The job of `run`, ready to be trained."""
    wanted = PretrainingSettings(**{**DEFAULTS, **changes})
    out.mkdir(parents=True, exist_ok=True)
    unpack(inputs / "sequences.parquet", out, wanted.length, VOCAB, wanted.batch_size * wanted.accumulation)
    return Job(
        settings=wanted,
        model_folder=inputs / "step-0",
        data_path=inputs / "sequences.parquet",
        vocabulary_path=inputs / "vocabulary.parquet",
        folder=out,
        start=0,
        seed=SEED,
        device="cpu",
        processes=processes,
        threads=1,
        fingerprint={},
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


LONG: dict[str, Any] = {"steps": 20, "checkpoints": [2, 20], "batch_size": 1, "accumulation": 2}


@pytest.fixture(scope="module")
def uninterrupted(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(inputs, tmp_path_factory.mktemp("uninterrupted"), **LONG)


def run_and_die(inputs: Path, out: Path) -> None:
    """`run`, killed with signal 9 in the middle of step 9."""
    passes = 0

    def count(module: object, _args: object, _output: object) -> None:
        nonlocal passes
        passes += isinstance(module, FactorizedDecoder)
        if passes > 2 * 8:  # two micro-batches in each of eight steps
            os.kill(os.getpid(), signal.SIGKILL)

    register_module_forward_hook(count)
    run(inputs, out, **LONG)


@pytest.fixture(scope="module")
def interrupted(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State of a run that was killed."""
    out = tmp_path_factory.mktemp("interrupted")
    body = f"import test_pretraining as t; t.run_and_die(t.Path({str(inputs)!r}), t.Path({str(out)!r}))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    assert subprocess.run([sys.executable, "-c", body], env=environment).returncode == -signal.SIGKILL
    assert not list(out.glob("step-*"))
    return out


@pytest.fixture
def killed(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of the killed run's state, to go on from."""
    return shutil.copytree(interrupted, tmp_path / "killed")


def steps_kept(out: Path) -> list[int]:
    return sorted(int(path.stem.split("-")[1]) for path in (out / "state").glob("checkpoint-*.safetensors"))


def same_files(one: Path, other: Path) -> bool:
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    others = sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
    return names == others and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


class TestMasking:
    rule = masking_rule(vocabulary())
    tokens = np.random.default_rng(0).integers(VOCAB, size=(400, 500))

    def test_fractions_lie_within_binomial_bounds(self) -> None:
        batch = mask_tokens(self.tokens, self.rule, 0.15, np.random.default_rng(3))
        text = int(self.rule.is_text[self.tokens].sum())
        seen = batch.input_ids.ravel()[batch.positions]
        masked, kept = int((seen == self.rule.mask_id).sum()), int((seen == batch.labels).sum())
        # a random token is the old one once in V
        chance = 1 / len(self.rule.text_ids)
        n = len(batch.positions)
        for count, total, share in ((n, text, 0.15), (masked, n, 0.8), (kept, n, 0.1 + 0.1 * chance)):
            assert abs(count - total * share) < 4 * math.sqrt(total * share * (1 - share))

    def test_random_tokens_are_uniform_over_text(self) -> None:
        batch = mask_tokens(self.tokens, self.rule, 0.9, np.random.default_rng(3))
        seen = batch.input_ids.ravel()[batch.positions]
        random = seen[(seen != self.rule.mask_id) & (seen != batch.labels)]
        counts = np.bincount(random, minlength=VOCAB)
        assert counts[~self.rule.is_text].sum() == 0
        expected = len(random) / len(self.rule.text_ids)
        assert np.abs(counts[self.rule.is_text] - expected).max() < 5 * math.sqrt(expected)

    @settings(deadline=None)
    @given(st.integers(0, 2**32), st.floats(0.01, 0.99))
    def test_only_chosen_text_changes(self, seed: int, probability: float) -> None:
        tokens = self.tokens[:3, :50]
        before = tokens.copy()
        batch = mask_tokens(tokens, self.rule, probability, np.random.default_rng(seed))
        assert (tokens == before).all()
        assert self.rule.is_text[batch.labels].all()
        assert (np.diff(batch.positions) > 0).all()
        restored = batch.input_ids.ravel().copy()
        restored[batch.positions] = batch.labels
        assert (restored == tokens.ravel()).all()

    def test_the_generator_decides_everything(self) -> None:
        one, same, other = (mask_tokens(self.tokens, self.rule, 0.15, np.random.default_rng(s)) for s in (1, 1, 2))
        assert (one.input_ids == same.input_ids).all()
        assert (one.positions == same.positions).all()
        assert one.positions.shape != other.positions.shape or (one.positions != other.positions).any()

    def test_tokens_of_every_role_are_spared(self) -> None:
        specials = np.tile(np.arange(len(ROLES)), (50, 10))
        assert len(mask_tokens(specials, self.rule, 0.99, np.random.default_rng(0)).positions) == 0

    def test_a_mask_token_and_text_are_needed(self) -> None:
        without = Vocabulary(("a", "b"), ("a", "b"), (None, "bos"), np.ones(2, np.int64))
        with pytest.raises(InputError, match="no mask token"):
            masking_rule(without)
        with pytest.raises(InputError, match="all tokens of the tokenizer are special"):
            masking_rule(Vocabulary(("a",), ("a",), ("mask",), np.ones(1, np.int64)))


class TestOrder:
    @settings(deadline=None)
    @given(st.integers(1, 40), st.integers(0, 2**31), st.lists(st.integers(1, 30), min_size=1, max_size=8))
    def test_every_epoch_is_a_permutation_however_it_is_cut(self, sequences: int, seed: int, cuts: list[int]) -> None:
        starts = np.cumsum([0, *cuts[:-1]])
        stream = np.concatenate([rows_at(int(a), n, sequences, seed) for a, n in zip(starts, cuts, strict=True)])
        assert (stream == rows_at(0, sum(cuts), sequences, seed)).all()
        for epoch in range(len(stream) // sequences):
            assert sorted(stream[epoch * sequences : (epoch + 1) * sequences]) == list(range(sequences))

    def test_epochs_and_seeds_differ(self) -> None:
        first, second = rows_at(0, 100, 100, 1), rows_at(100, 100, 100, 1)
        assert (first != second).any()
        assert (first != rows_at(0, 100, 100, 2)).any()


class TestOptimizer:
    def test_without_warmup_the_schedule_is_transformers_linear_one(self) -> None:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = get_linear_schedule_with_warmup(optimizer, 0, 20)
        for step in range(1, 21):
            assert schedule(step, 20, 0) == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_warmup_rises_to_1_and_falls_to_the_end(self) -> None:
        factors = [schedule(step, 10, 3) for step in range(1, 11)]
        assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
        assert factors[3:] == pytest.approx([1 - i / 7 for i in range(7)])

    @pytest.mark.parametrize("family", sorted(FAMILIES))
    def test_groups_hold_every_parameter_once(self, tmp_path: Path, family: str) -> None:
        write_step_0(tmp_path, family)
        model = load_model(tmp_path / "step-0")
        rates = {"encoder": 1e-4, "primitives": 2e-4, "coordinates": 3e-4, "head": 4e-4}
        optimizer = adamw(model, PretrainingSettings(corpus="c", learning_rates=rates, weight_decay=0.01))
        held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(held)
        names = dict(model.named_parameters())
        assert set(held) == {id(parameter) for parameter in names.values()}
        embedding = model.get_input_embeddings()
        encoder = {id(parameter) for parameter in model.base_model.parameters()}
        assert held[id(embedding.coordinates)]["peak"] == rates["coordinates"]
        assert held[id(embedding.primitives)]["peak"] == rates["primitives"]
        for name, parameter in names.items():
            group = held[id(parameter)]
            assert group["weight_decay"] == (0.0 if "bias" in name or "norm" in name.lower() else 0.01)
            if parameter is not embedding.coordinates and parameter is not embedding.primitives:
                assert group["peak"] == (rates["encoder"] if id(parameter) in encoder else rates["head"])

    def test_the_names_of_groups_are_those_of_the_settings(self) -> None:
        assert set(GROUPS) == set(PretrainingSettings(corpus="c").learning_rates.model_dump())
        assert group_of("cls.predictions.decoder.coordinates", "cls") == "coordinates"


class TestTraining:
    @pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
    def test_equals_plain_torch_on_whole_batches(self, tmp_path: Path, family: str) -> None:
        """Four micro-batches against one batch, logits at masked positions against all of them, fused against plain AdamW."""
        write_inputs(tmp_path, family)
        rates = {"encoder": 1e-3, "primitives": 2e-3, "coordinates": 5e-4, "head": 3e-3}
        changes = {"dropout": 0.0, "learning_rates": rates, "warmup_steps": 2, "clip_norm": 0.5, "weight_decay": 0.1}
        out = run(tmp_path, tmp_path / "out", **changes)

        told = job(tmp_path, tmp_path / "reference", **changes)
        sequences = open_sequences(told.data_path, told.folder)
        rule = masking_rule(vocabulary())
        model = load_model(told.model_folder)
        head = FAMILIES[family].head
        parameters = [
            {"params": [p], "rate": rates[group_of(name, head)], "weight_decay": 0.1 if p.ndim > 1 else 0.0}
            for name, p in model.named_parameters()
        ]
        optimizer = torch.optim.AdamW(parameters, foreach=False, fused=False)
        for step, row in enumerate(history(out).iter_rows(named=True), start=1):
            batches = [masked_batch(told, sequences, rule, step, number) for number in range(4)]
            ids = torch.from_numpy(np.concatenate([batch.input_ids for batch in batches]))
            labels = torch.full((4, 2 * LENGTH), -100)
            for number, batch in enumerate(batches):
                labels[number, batch.positions] = torch.from_numpy(batch.labels)
            loss = cross_entropy(model(ids).logits.view(-1, VOCAB), labels.view(-1))
            optimizer.zero_grad()
            loss.backward()
            norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * min(step / 3, (9 - step) / 6)
                for parameter in group["params"]:
                    parameter.grad *= min(1.0, 0.5 / float(norm + 1e-6))
            optimizer.step()
            assert row["loss"] == pytest.approx(loss.item(), rel=1e-4)
            assert row["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3)
            assert row["learning_rate"] == pytest.approx(1e-3 * min(step / 3, (9 - step) / 6))
            assert row["tokens"] == step * 8 * LENGTH
        trained, start = weights(out, 8), weights(tmp_path, 0)
        for name, value in trained.items():
            expected = model.get_parameter(name).detach().numpy()
            # Adam divides by the gradient's size: rounding shows where gradients are next to nothing
            assert np.abs(value - expected).max() < 0.05 * np.abs(expected - start[name]).max() + 1e-7, name

    def test_learns(self, inputs: Path, tmp_path: Path) -> None:
        given_inputs = shutil.copytree(inputs, tmp_path / "inputs")
        write_sequences(given_inputs / "sequences.parquet", largest=40)
        rates = dict.fromkeys(GROUPS, 1e-2)
        table = history(run(given_inputs, tmp_path, steps=60, checkpoints=[60], learning_rates=rates, dropout=0.0))
        assert table["step"].to_list() == list(range(1, 61))
        assert table["loss"][0] == pytest.approx(math.log(VOCAB), abs=0.2)
        assert table["loss"][-10:].mean() < 0.8 * math.log(VOCAB)

    def test_named_steps_are_whole_model_folders(self, inputs: Path, tmp_path: Path) -> None:
        out = run(inputs, tmp_path)
        assert sorted(path.name for path in out.iterdir()) == ["history.parquet", "step-3", "step-8"]
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
        rates = {"encoder": 0, "primitives": 1e-3, "coordinates": 0, "head": 1e-3}
        before, after = weights(inputs, 0), weights(run(inputs, tmp_path, learning_rates=rates), 8)
        changed = {group_of(name, "cls") for name in before if (before[name] != after[name]).any()}
        assert changed == {"primitives", "head"}
        same = {group_of(name, "cls") for name in before if (before[name] == after[name]).all()}
        assert {"encoder", "coordinates"} <= same

    def test_logits_are_made_at_masked_positions_only(self, inputs: Path, tmp_path: Path) -> None:
        rows: list[int] = []

        def note(_module: object, _args: object, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.shape[-1] == VOCAB:
                rows.append(output.numel() // VOCAB)

        handle = register_module_forward_hook(note)
        try:
            run(inputs, tmp_path / "out", steps=2, checkpoints=[2])
        finally:
            handle.remove()
        told = job(inputs, tmp_path / "reference")
        sequences = open_sequences(told.data_path, told.folder)
        rule = masking_rule(vocabulary())
        wanted = {len(masked_batch(told, sequences, rule, step, number).labels) for step in (1, 2) for number in range(4)}
        assert set(rows) == wanted
        assert max(rows) < 2 * LENGTH

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


class TestResumption:
    def test_a_killed_run_ends_with_the_same_bytes(self, inputs: Path, uninterrupted: Path, killed: Path) -> None:
        run(inputs, killed, **LONG)
        assert same_files(killed, uninterrupted)
        assert history(killed)["step"].to_list() == list(range(1, 21))

    def test_only_the_last_two_and_the_named_are_kept(self, killed: Path) -> None:
        assert steps_kept(killed) == [2, 6, 8]

    @pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
    def test_a_damaged_checkpoint_is_skipped(
        self, inputs: Path, uninterrupted: Path, killed: Path, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = checkpoint_path(killed / "state", 8)
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes({"truncated": content[: len(content) // 2], "altered": content, "empty": b""}[damage])
        with caplog.at_level(logging.INFO):
            run(inputs, killed, **LONG)
        assert "checkpoint of step 8 is skipped: artifact " in caplog.text
        assert "going on after step 6" in caplog.text
        assert same_files(killed, uninterrupted)

    def test_without_the_checkpoint_of_a_named_step_it_starts_before(
        self, inputs: Path, uninterrupted: Path, killed: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        checkpoint_path(killed / "state", 2).unlink()
        with caplog.at_level(logging.INFO):
            run(inputs, killed, **LONG)
        assert "that of step 2, whose model is wanted, is lost" in caplog.text
        assert "from the start" in caplog.text
        assert same_files(killed, uninterrupted)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"mask_probability": 0.2}, "setting mask_probability"),
            ({"provenance": Provenance("pretraining", code="other")}, "code"),
            ({"model": True}, "model"),
            ({"data": True}, "data"),
        ],
    )
    def test_state_of_another_run_is_refused(
        self, inputs: Path, killed: Path, tmp_path: Path, changes: dict[str, Any], told: str
    ) -> None:
        given_inputs = inputs
        if "model" in changes or "data" in changes:
            given_inputs = shutil.copytree(inputs, tmp_path / "inputs")
        if changes.pop("model", False):
            shutil.rmtree(given_inputs / "step-0")
            shutil.copytree(run(inputs, tmp_path / "other", steps=1, checkpoints=[1]) / "step-1", given_inputs / "step-0")
        if changes.pop("data", False):
            write_sequences(given_inputs / "sequences.parquet", number=97)
        with pytest.raises(ConfigError, match=f"differs in: {told}") as caught:
            run(given_inputs, killed, **{**LONG, **changes})
        assert f"delete the folder {killed / 'state'}" in str(caught.value)
        assert steps_kept(killed)

    def test_a_changed_interval_of_checkpoints_is_no_other_run(self, inputs: Path, uninterrupted: Path, killed: Path) -> None:
        assert same_files(run(inputs, killed, **LONG, save_every=50), uninterrupted)

    def test_foreign_files_in_the_folder_stay(self, inputs: Path, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "notes.txt").write_text("mine")
        run(inputs, tmp_path)
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["notes.txt"]


class TestProcesses:
    def test_two_processes_train_as_one(self, inputs: Path, tmp_path: Path) -> None:
        one = run(inputs, tmp_path / "one", accumulation=3)
        told = job(inputs, tmp_path / "two", processes=2, accumulation=3)
        launch(told)
        tensors = read_tensors(checkpoint_path(told.folder, 8), "pretraining_checkpoint")
        assert np.allclose(tensors["history/loss"], history(one)["loss"], rtol=1e-5)
        assert np.allclose(tensors["history/gradient_norm"], history(one)["gradient_norm"], rtol=1e-4)
        start = weights(inputs, 0)
        # a BERT's parameters are named in checkpoints as in model files
        for name, value in weights(one, 8).items():
            assert np.abs(tensors[f"model/{name}"] - value).max() < 0.02 * np.abs(value - start[name]).max() + 1e-7, name

    def test_an_error_in_a_process_is_told(self, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        told = job(inputs, tmp_path, learning_rates=dict.fromkeys(GROUPS, 1e38), save_every=1)
        with caplog.at_level(logging.INFO), pytest.raises(LexigraftError, match="diverged at step 2: loss nan"):
            launch(told)
        assert checkpoint_path(told.folder, 1).exists()
        assert "[process 0] device: CPU, 1 process(es)" in caplog.text

    def test_a_process_that_breaks_is_told(self, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        told = job(inputs, tmp_path, processes=2).model_copy(update={"seed": -1})
        with caplog.at_level(logging.INFO), pytest.raises(RuntimeError, match=r"process . of 2 ended with exit code 1"):
            launch(told)
        assert "greater than or equal to 0" in caplog.text


def _other_vocabulary(folder: Path) -> None:
    write_vocabulary(folder / "vocabulary.parquet", vocabulary(VOCAB - 1))


def _no_mask(folder: Path) -> None:
    plain = vocabulary()
    roles = tuple(None if role == "mask" else role for role in plain.roles)
    write_vocabulary(folder / "vocabulary.parquet", Vocabulary(plain.tokens, plain.surfaces, roles, plain.counts))


def _truncated_data(folder: Path) -> None:
    path = folder / "sequences.parquet"
    path.write_bytes(path.read_bytes()[:-100])


class TestRefusals:
    @pytest.mark.parametrize(
        ("spoil", "changes", "error", "message"),
        [
            (None, {"length": 25}, InputError, "sequences of 25 tokens are longer than the model's 24 positions"),
            (None, {"length": 12}, InputError, "have 16 tokens, the settings ask for 12"),
            (None, {"batch_size": 32}, InputError, "96 sequences of 16 tokens are fewer than one effective batch, 128"),
            (None, {"gpus": 64}, ConfigError, r"64 GPUs are asked for, this machine has \d+"),
            (_other_vocabulary, {}, InputError, "the model has 300 tokens, the vocabulary 299"),
            (_no_mask, {}, InputError, "no mask token"),
            (_truncated_data, {}, ArtifactError, "truncated"),
            (
                lambda folder: write_sequences(folder / "sequences.parquet", largest=VOCAB + 40),
                {},
                InputError,
                r"hold token 3\d\d, the model has 300 tokens(.|\n)*another tokenizer",
            ),
        ],
    )
    def test_what_does_not_fit_fails_before_the_first_step(
        self,
        inputs: Path,
        tmp_path: Path,
        spoil: Callable[[Path], None] | None,
        changes: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        given_inputs = shutil.copytree(inputs, tmp_path / "inputs")
        if spoil is not None:
            spoil(given_inputs)
        with pytest.raises(error, match=message):
            run(given_inputs, tmp_path / "out", **changes)
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

    def test_positions_of_roberta_start_after_padding(self, tmp_path: Path) -> None:
        write_inputs(tmp_path, "roberta")
        with pytest.raises(InputError, match="longer than the model's 22 positions"):
            run(tmp_path, tmp_path / "out", length=23)

    def test_folders_are_those_of_the_named_steps(self, inputs: Path, tmp_path: Path) -> None:
        wanted = PretrainingSettings(**DEFAULTS)
        call = partial(pretrain, wanted, inputs / "step-0", inputs / "sequences.parquet", inputs / "vocabulary.parquet")
        with pytest.raises(ConfigError, match=r"after steps \[8\], `checkpoints` are \[3, 8\]"):
            call({8: tmp_path / "8"}, tmp_path / "h", tmp_path / "s", SEED, 1, 0, PROVENANCE)

    def test_divergence_names_the_step_and_leaves_the_checkpoints(self, inputs: Path, tmp_path: Path) -> None:
        with pytest.raises(LexigraftError, match="diverged at step 2: loss nan") as caught:
            run(inputs, tmp_path, learning_rates=dict.fromkeys(GROUPS, 1e38), save_every=1)
        assert "lower `learning_rates`" in str(caught.value)
        assert steps_kept(tmp_path) == [1]
        assert not list(tmp_path.glob("step-*"))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"learning_rates": dict.fromkeys(GROUPS, 0)}, "all learning rates are 0"),
            ({"steps": 8, "checkpoints": [8, 3]}, "must ascend"),
            ({"steps": 8, "checkpoints": [3, 3, 8]}, "must ascend"),
            ({"steps": 8, "checkpoints": [3, 7]}, "the last of checkpoints .* must be `steps`, 8"),
            ({"steps": 8, "warmup_steps": 8}, "warmup_steps 8 must be fewer"),
            ({"languages": ["tur_Latn", "tur_Latn"]}, "none twice"),
            ({"languages": []}, "at least one language"),
            ({"step": 8}, "did you mean 'steps'"),
            ({"mask_probability": 1.0}, "mask_probability"),
        ],
    )
    def test_settings_that_cannot_be_meant(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            parse(PretrainingSettings, {"corpus": "c", **changes})

    def test_the_last_step_is_kept_by_default(self) -> None:
        assert PretrainingSettings(corpus="c", steps=70).checkpoints == [70]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_unpacked_sequences_are_those_of_the_table(number: int, length: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "sequences.parquet"
        write_sequences(path, number, length + 1)
        assert unpack(path, folder, length + 1, VOCAB, 1) == number
        wanted = read_table(path, "pretraining_data")["tokens"].to_numpy()
        found = open_sequences(path, folder)
        assert (found == wanted).all()
        assert found.dtype == np.int32
        # another table does not get the array of this one
        before = identity(path)
        write_sequences(path, number + 1, length + 1)
        assert identity(path) != before
        assert unpack(path, folder, length + 1, VOCAB, 1) == number + 1
        assert open_sequences(path, folder).shape == (number + 1, length + 1)


def test_a_vocabulary_survives_its_file(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "vocabulary.parquet", vocabulary())
    assert read_vocabulary(tmp_path / "vocabulary.parquet").roles == vocabulary().roles
