"""Models whose embeddings are not factorized (D' = `full`), and balanced factors, from the stage to training and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from modeling_cases import (
    FAMILY_NAMES,
    copied_from,
    count_parameters,
    factors,
    permuted,
    plain_class,
    plain_model,
    vocabulary,
    with_primitives,
    write_tokenizer,
    write_vocabulary,
)
from modeling_cases import write_source as write_small_source
from safetensors.numpy import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForMaskedLM, AutoTokenizer, RobertaConfig, RobertaForMaskedLM

from lexigraft.artifacts import Provenance, read_table, read_tensors, write_table
from lexigraft.cli import main
from lexigraft.factors.factorize import write_factors
from lexigraft.factors.tables import read_embedding_table
from lexigraft.initialization.build import write_initialized_model
from lexigraft.initialization.token_map import build_token_map
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.load import STAGES, load_model
from lexigraft.modeling.output_head import masked_logits
from lexigraft.modeling.saving import write_model_folder
from lexigraft.pretraining.optimizer import adamw, parameter_groups
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.tokenizers.vocabulary import Vocabulary
from lexigraft.training.optimizer import set_rates
from lexigraft.word_vectors.table import WordVectors, write_word_vectors

WORDS, DIM = 40, 6


def logits_of(model: Any, size: int, seed: int = 0) -> torch.Tensor:
    ids = torch.randint(5, size, (3, 11), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits: torch.Tensor = model(ids, torch.ones_like(ids)).logits
    return logits


def run_stage(tmp_path: Path, name: str, dim: Any, target: Vocabulary, *, balanced: bool = False) -> tuple[Any, Path]:
    """The stages `factors` and `initialization` with OFA on a small source; returns the source model and the model's folder."""
    source_model, source_vocabulary = plain_model(name), vocabulary(name)
    source = write_small_source(tmp_path / "source", source_model)
    write_vocabulary(source / "vocabulary.parquet", source_vocabulary, "source")
    tokenizer = write_tokenizer(tmp_path / "tokenizer", target)
    write_vocabulary(tokenizer / "vocabulary.parquet", target, "tokenizer")
    embeddings = source / "model.safetensors"
    if dim != "full":
        embeddings = tmp_path / "factors.safetensors"
        write_factors(source / "model.safetensors", dim, embeddings, Provenance("factors"))
    rng = np.random.default_rng(0)
    vectors = WordVectors(
        pl.Series(["eng_Latn"] * WORDS),
        pl.Series([f"word{index}" for index in range(WORDS)]),
        np.ones(WORDS, np.int64),
        rng.standard_normal((WORDS, DIM)).astype(np.float32),
    )
    write_word_vectors(vectors, tmp_path / "words.parquet", tmp_path / "vectors.safetensors", Provenance("word_vectors"))
    for side, size in (("source", len(source_vocabulary)), ("target", len(target))):
        tokens = np.repeat(np.arange(5, size), 3)
        table = pl.DataFrame({"token": tokens, "word": rng.integers(WORDS, size=len(tokens)), "count": 1}).unique()
        cast = table.cast({"token": pl.Int32, "word": pl.Int32, "count": pl.UInt8}).sort("token", "word")
        write_table(tmp_path / f"{side}.parquet", cast, Provenance("matches"))
    files = {
        "weights": source / "model.safetensors",
        "table": embeddings,
        "tokenizer": tokenizer / "tokenizer.json",
        "source_vocabulary": source / "vocabulary.parquet",
        "target_vocabulary": tokenizer / "vocabulary.parquet",
        "source_matches": tmp_path / "source.parquet",
        "target_matches": tmp_path / "target.parquet",
        "words": tmp_path / "words.parquet",
        "vectors": tmp_path / "vectors.safetensors",
        "token_map": tmp_path / "token_map.parquet",
    }
    languages, method = ("eng_Latn",), {"initializer": "ofa"}
    build_token_map(method, files, files["token_map"], source_languages=languages, provenance=Provenance("token_map"))
    card = {"name": "ofa-small", "method": "ofa", "source": "input:small", "source_license": "mit", "languages": ["eng_Latn"]}
    card |= {"corpus": "none", "tokenizer": "words", "vectors": "made up"}
    write_initialized_model(
        method,
        files,
        tmp_path / "step-0",
        source_languages=languages,
        card=card,
        parity=False,
        balanced=balanced,
        threads=1,
        gpus=0,
        provenance=Provenance("initialized_model", seed=1),
    )
    return source_model, tmp_path / "step-0"


def extended(name: str, new: int) -> Vocabulary:
    """The family's small vocabulary with `new` tokens that the source does not have behind it."""
    made = vocabulary(name)
    tokens = (*made.tokens, *(f"new{index}" for index in range(new)))
    counts = np.arange(len(tokens), dtype=np.int64)
    return Vocabulary(tokens, tuple(f" {token}" for token in tokens), made.roles + (None,) * new, counts)


class TestFull:
    @pytest.mark.parametrize("name", FAMILY_NAMES)
    def test_ofa_on_the_sources_own_vocabulary_is_the_source_whose_embeddings_are_the_group_of_f(
        self, tmp_path: Path, name: str
    ) -> None:
        source, folder = run_stage(tmp_path, name, "full", vocabulary(name))
        model: Any = load_model(folder)
        assert type(model) is plain_class(name)
        torch.testing.assert_close(logits_of(model, 60), logits_of(source, 60), rtol=0, atol=0)
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in source.parameters())
        assert set(read_table(folder / "tokens.parquet", "initialized_model")["origin"]) == {"copied"}
        groups = parameter_groups(model)
        assert [id(p) for p in groups["coordinates"]] == [id(model.get_input_embeddings().weight)]
        assert not groups["primitives"]
        assert all(groups[name] for name in ("encoder", "head", "bias"))

    def test_the_table_is_the_sources_own(self, tmp_path: Path) -> None:
        source, _ = run_stage(tmp_path, "roberta", "full", vocabulary("roberta"))
        full = read_embedding_table(tmp_path / "source" / "model.safetensors")
        embeddings = source.get_input_embeddings().weight.detach().numpy()
        np.testing.assert_array_equal(full.rows, embeddings)
        np.testing.assert_array_equal(full.embeddings(slice(3, 5)), embeddings[3:5])
        assert full.dim is None
        # all of the width, but factorized
        write_factors(tmp_path / "source" / "model.safetensors", 24, tmp_path / "all.safetensors", Provenance("factors"))
        assert read_embedding_table(tmp_path / "all.safetensors").dim == 24

    @pytest.mark.parametrize("name", ["roberta", "xlm-roberta"])
    def test_with_added_tokens_it_is_a_plain_model_in_its_folder_its_card_and_its_export(
        self, tmp_path: Path, name: str
    ) -> None:
        _, folder = run_stage(tmp_path, name, "full", extended(name, 15))
        table = read_table(folder / "tokens.parquet", "initialized_model")
        assert dict(table["origin"].value_counts().iter_rows()) == {"copied": 60, "computed": 15}
        config = json.loads((folder / "config.json").read_text())
        assert (config["model_type"], config["vocab_size"]) == (name, 75)
        assert "factor_dim" not in config
        plain, report = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        assert type(plain) is plain_class(name)
        assert not any(report.values())
        torch.testing.assert_close(logits_of(plain, 75), logits_of(load_model(folder), 75), rtol=0, atol=0)
        np.testing.assert_array_equal(
            read_embedding_table(folder / "model.safetensors").rows, plain.get_input_embeddings().weight.detach().numpy()
        )
        assert AutoTokenizer.from_pretrained(folder, local_files_only=True)("w7 new3")["input_ids"] == [7, 63]
        card = (folder / "README.md").read_text()
        assert "this is a plain model of transformers" in card
        assert not [text for text in ("import lexigraft", "factorized-embeddings", "D' =") if text in card]
        assert main(["export", str(folder), str(tmp_path / "plain")]) == 0
        old, new = load_file(folder / "model.safetensors"), load_file(tmp_path / "plain" / "model.safetensors")
        assert set(old) == set(new)
        for key, value in old.items():
            np.testing.assert_array_equal(new[key], value)
        assert (tmp_path / "plain" / "README.md").read_text() == card

    def test_parameters_with_401k_tokens_are_those_of_a_plain_model(self) -> None:
        sizes = {"vocab_size": 401_000, "max_position_embeddings": 514, "type_vocab_size": 1}
        assert round(count_parameters(RobertaForMaskedLM, RobertaConfig(**sizes)) / 1e6, 1) == 394.4


class TestTraining:
    @pytest.mark.parametrize(("dim", "balanced"), [("full", False), (7, True)])
    def test_steps_of_training_lead_to_a_model_of_the_same_kind(self, tmp_path: Path, dim: Any, balanced: bool) -> None:
        _, folder = run_stage(tmp_path, "roberta", dim, extended("roberta", 15), balanced=balanced)
        assert ("| balanced_factors | True |" in (folder / "README.md").read_text()) == balanced
        model = load_model(folder)
        settings = PretrainingSettings(corpus="c", learning_rates={"coordinates": 3e-3, "primitives": 2e-3})
        optimizer = adamw(model, settings)
        set_rates(optimizer, settings.learning_rates.by_group(), 1.0)
        ids, positions = torch.arange(5, 65).reshape(4, 15), torch.arange(0, 60, 4)
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            loss = cross_entropy(masked_logits(model, ids, None, positions), ids.flatten()[positions])
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.9 * losses[0]
        out, tokens = tmp_path / "step-8", read_table(folder / "tokens.parquet", "initialized_model")
        write_model_folder(model, tmp_path / "tokenizer", out, tokens, "card", Provenance("pretraining"))
        before, after = (read_tensors(at / "model.safetensors", STAGES) for at in (folder, out))
        assert before.keys() == after.keys()
        changed = {key for key in before if not np.array_equal(before[key], after[key])}
        assert {key for key in before if "word_embeddings" in key} <= changed
        trained = load_model(out)
        assert type(trained) is type(load_model(folder))
        torch.testing.assert_close(logits_of(trained, 75), logits_of(model.eval(), 75), rtol=0, atol=0)


class TestBalanced:
    @pytest.mark.parametrize("name", FAMILY_NAMES)
    def test_it_is_the_same_function_with_rows_of_size_one(self, tmp_path: Path, name: str) -> None:
        source = plain_model(name)
        folder = write_small_source(tmp_path / "source", source)
        coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), 7)
        order = np.random.default_rng(0).permutation(60)
        target = permuted(vocabulary(name), order)
        plain = assemble(folder, *with_primitives(copied_from(coordinates, order), primitives), target)
        made: Any = assemble(folder, *with_primitives(copied_from(coordinates, order), primitives), target, balanced=True)
        torch.testing.assert_close(logits_of(made, 60), logits_of(plain, 60), rtol=1e-4, atol=1e-4)
        embedding = made.get_input_embeddings()
        np.testing.assert_allclose(embedding.coordinates.detach().numpy(), coordinates[order] * np.sqrt(60), rtol=1e-6)
        np.testing.assert_allclose(embedding.primitives.detach().numpy(), primitives / np.sqrt(60), rtol=1e-6)
        assert float(embedding.coordinates.detach().square().mean()) == pytest.approx(1, rel=1e-4)
