"""Factorized models: the modules, transformers' loading, saving and tying, and assembling from a source model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from modeling_cases import (
    FAMILY_NAMES,
    OPTIONS,
    SIZES,
    count_parameters,
    factorized_config,
    ids_and_mask,
    plain_class,
    plain_config,
    plain_model,
    random_factorized,
)
from process_cases import python
from safetensors.numpy import load_file
from transformers import AutoModel, AutoModelForMaskedLM, BertForTokenClassification, ModernBertForTokenClassification

import lexigraft
from lexigraft.errors import InputError
from lexigraft.modeling.classes import FactorizedRobertaConfig, FactorizedRobertaForMaskedLM, class_of, factorized_class
from lexigraft.modeling.factorized import FactorizedDecoder, FactorizedEmbedding
from lexigraft.modeling.families import family_of
from lexigraft.modeling.output_head import masked_logits


class TestImport:
    def test_lexigraft_its_planner_and_families_import_neither_torch_nor_transformers(self) -> None:
        heavy = "{'torch', 'transformers', 'tokenizers', 'polars'} & set(sys.modules)"
        code = (
            "import sys, lexigraft, lexigraft.cli, lexigraft.workflow.source_limits\n"
            "from lexigraft.modeling.families import families\n"
            f"print(lexigraft.__version__, *families(), *({heavy}))"
        )
        done = python(code)
        assert done.stdout.split() == [lexigraft.__version__, *FAMILY_NAMES]

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
            f"from lexigraft.modeling.classes import FactorizedBertModel\n{uses}",
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
        done = python(driver, tmp_path / "model", *orders)
        expected = "FactorizedBertConfig FactorizedBertForMaskedLM FactorizedBertModel"
        assert done.stdout.splitlines() == [expected] * len(orders), done.stdout + done.stderr


class TestModules:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(2, 40), st.integers(1, 9), st.integers(1, 20), st.integers(0, 1000), st.booleans())
    def test_both_equal_the_multiplied_out_table_in_float64(
        self, tokens: int, dim: int, width: int, seed: int, padded: bool
    ) -> None:
        torch.manual_seed(seed)
        embedding = FactorizedEmbedding(tokens, dim, width, tokens - 1 if padded else None)
        decoder = FactorizedDecoder(embedding, torch.nn.Parameter(torch.randn(tokens)))
        decoder.coordinates, decoder.primitives = embedding.coordinates, embedding.primitives
        table = embedding.coordinates.detach().numpy().astype(np.float64) @ embedding.primitives.detach().numpy()
        ids = torch.randint(0, tokens, (2, 5))
        hidden = torch.randn(2, 5, width)
        expected = hidden.numpy() @ table.T + decoder.bias.detach().numpy()
        np.testing.assert_allclose(embedding(ids).detach().numpy(), table[ids.numpy()], atol=1e-5)
        np.testing.assert_allclose(decoder(hidden).detach().numpy(), expected, atol=2e-4)

    def test_lookups_of_the_padding_token_give_its_row_no_gradient(self) -> None:
        with pytest.raises(ValueError, match="padding_idx 6 is not one of 6 tokens"):
            FactorizedEmbedding(6, 3, 5, padding_idx=6)
        torch.manual_seed(0)
        embedding = FactorizedEmbedding(6, 3, 5, padding_idx=2)
        assert not embedding.coordinates[2].any()
        with torch.no_grad():
            embedding.coordinates.normal_()
        (embedding(torch.tensor([0, 2, 2, 5])) ** 2).sum().backward()
        assert embedding.coordinates.grad is not None
        assert embedding.coordinates.grad.abs().sum(1).bool().tolist() == [True, False, False, False, False, True]


@pytest.mark.parametrize("name", FAMILY_NAMES)
class TestTransformers:
    def test_saves_and_loads_as_any_model_tied_and_the_encoder_alone(self, tmp_path: Path, name: str) -> None:
        model, (ids, mask) = random_factorized(name), ids_and_mask()
        model.save_pretrained(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
        assert sum("coordinates" in key for key in load_file(tmp_path / "model.safetensors")) == 1
        loaded, report = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report.values())
        assert type(loaded) is type(model) is class_of(family_of(name), "language_model", factorized=True)
        assert type(loaded.base_model) is class_of(family_of(name), "base_model", factorized=True)
        torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, rtol=0, atol=0)
        options = {} if name in OPTIONS else {"add_pooling_layer": False}
        encoder = AutoModel.from_pretrained(tmp_path, **options)
        assert type(encoder) is type(loaded.base_model)
        expected = model.base_model(ids, mask).last_hidden_state
        torch.testing.assert_close(encoder(ids, mask).last_hidden_state, expected, rtol=0, atol=0)
        for one in (model, loaded):
            embedding, decoder = one.get_input_embeddings(), one.get_output_embeddings()
            assert embedding.coordinates is decoder.coordinates
            assert embedding.primitives is decoder.primitives
            assert decoder.bias is one.get_parameter(family_of(name).table("output").bias)
            one.tie_weights()
            assert embedding.coordinates is one.get_output_embeddings().coordinates

    def test_gradients_are_those_of_the_plain_tied_model(self, name: str) -> None:
        model = random_factorized(name, initializer_range=0.3).double()
        embedding = model.get_input_embeddings()
        coordinates, primitives = embedding.coordinates.detach(), embedding.primitives.detach()
        family = family_of(name)
        plain: Any = plain_class(name)(plain_config(name, pad_token_id=1)).double().eval()
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

    def test_fresh_tables_give_embeddings_of_the_usual_size(self, tmp_path: Path, name: str) -> None:
        model = random_factorized(name, vocab_size=3000, factor_dim=20)
        model.save_pretrained(tmp_path)
        state = load_file(tmp_path / "model.safetensors")
        for part in ("coordinates", "primitives"):
            del state[f"{family_of(name).embedding}.{part}"]
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
    @pytest.mark.parametrize(
        ("name", "kind"), [("bert", BertForTokenClassification), ("modernbert", ModernBertForTokenClassification)]
    )
    def test_any_head_class_can_be_factorized(self, tmp_path: Path, name: str, kind: Any) -> None:
        model, (ids, mask) = random_factorized(name), ids_and_mask()
        model.save_pretrained(tmp_path)
        tagger: Any = factorized_class(kind, family_of(name)).from_pretrained(tmp_path, num_labels=4)
        expected = model.base_model(ids, mask).last_hidden_state
        torch.testing.assert_close(tagger.base_model(ids, mask).last_hidden_state, expected, rtol=0, atol=0)
        assert isinstance(tagger.get_input_embeddings(), FactorizedEmbedding)
        assert tagger.get_output_embeddings() is None
        assert tagger(ids, mask).logits.shape == (3, 11, 4)

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("bert", {"factor_dim": 0}, "factor_dim 0 must lie between 1 and hidden_size 24"),
            ("bert", {"factor_dim": 25}, "factor_dim 25 must lie between 1 and hidden_size 24"),
            ("deberta-v2", {"embedding_size": 16, "factor_dim": 17}, "factor_dim 17 must lie between 1 and embedding_size 16"),
            ("deberta-v2", {"legacy": False}, "legacy must be true"),
            *((name, {"tie_word_embeddings": False}, "tie_word_embeddings must be true") for name in FAMILY_NAMES),
        ],
    )
    def test_configurations_are_checked(self, name: str, options: dict[str, Any], message: str) -> None:
        with pytest.raises(StrictDataclassClassValidationError, match=message):
            factorized_config(name, **options)

    @pytest.mark.parametrize("tokens", [401_000, 401_145])
    def test_parameter_counts_with_401k_tokens(self, tokens: int) -> None:
        sizes = {"vocab_size": tokens, "max_position_embeddings": 514, "type_vocab_size": 1}
        counts = [
            count_parameters(FactorizedRobertaForMaskedLM, FactorizedRobertaConfig(factor_dim=dim, **sizes))
            for dim in (100, 200, 400)
        ]
        assert [round(count / 1e6, 1) for count in counts] == [126.6, 166.8, 247.2]
        table = tokens * 100 + 100 * 768 + tokens
        encoder = 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768)
        embeddings_and_head = (514 + 1 + 2) * 768 + 768 * 768 + 768 + 2 * 768
        assert counts[0] == table + encoder + embeddings_and_head
