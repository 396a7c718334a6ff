"""The family of CONTRIBUTING.md, one file of data: DistilBERT, whose keys and modules are unlike those of BERT."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import modeling_cases
import pytest
import torch
import yaml
from modeling_cases import (
    LONG,
    assert_same,
    copied_from,
    grafted,
    permuted,
    plain_model,
    shuffled,
    vocabulary,
    with_primitives,
    write_checkpoint,
    write_tokenizer,
)
from modeling_cases import write_source as write_small_source
from transformers import AutoConfig, AutoModelForMaskedLM, DistilBertConfig, DistilBertForMaskedLM
from transformers.models.auto import configuration_auto

from lexigraft.artifacts import Provenance
from lexigraft.config.configuration import load_config
from lexigraft.errors import ConfigError, InputError
from lexigraft.factors.tables import read_output_table
from lexigraft.initialization.rows import target_rows
from lexigraft.modeling import families
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.classes import register
from lexigraft.modeling.encoder import stopped_after, usable_positions
from lexigraft.modeling.export import export_model
from lexigraft.modeling.families import source_family
from lexigraft.modeling.output_head import output_head
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.sources.build import write_source
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.workflow.source_limits import check_fit
from tests.examples import example_files

NAME = "distilbert"
DATA = example_files()["lexigraft/modeling/families/distilbert.py"]


@pytest.fixture
def distilbert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    (tmp_path / "added").mkdir()
    (tmp_path / "added" / f"{NAME}.py").write_text(getattr(request, "param", DATA))
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "added")])
    monkeypatch.setitem(modeling_cases.ROLES, NAME, modeling_cases.ROLES["bert"])
    monkeypatch.setitem(modeling_cases.OPTIONS, NAME, {"hidden_dim": 32})
    known = configuration_auto.CONFIG_MAPPING._extra_content
    monkeypatch.setattr(configuration_auto.CONFIG_MAPPING, "_extra_content", dict(known))
    importlib.invalidate_caches()
    families.families.cache_clear()
    register(configuration_auto)
    yield
    families.families.cache_clear()
    del sys.modules[f"{families.__name__}.{NAME}"]


@pytest.mark.usefixtures("distilbert")
@pytest.mark.parametrize("dim", [7, "width", "full"])
def test_from_checkpoint_to_a_saved_and_an_exported_model(tmp_path: Path, dim: int | str) -> None:
    plain, permutation = plain_model(NAME), shuffled()
    model, source = grafted(write_checkpoint(tmp_path / "checkpoint", plain, NAME), tmp_path, permutation, dim)
    if dim != 7:
        assert_same(model, plain, permutation)
    target = read_vocabulary(source / "vocabulary.parquet")
    tokenizer, folder = write_tokenizer(tmp_path / "tokenizer", vocabulary(NAME)), tmp_path / "model"
    _, token_map = copied_from(plain.get_input_embeddings().weight.detach().numpy(), permutation)
    tokens = token_table(target, target, token_map)
    write_model_folder(model, tokenizer, folder, tokens, "# card\n", Provenance("initialized_model"))
    loaded = AutoModelForMaskedLM.from_pretrained(folder)
    assert type(loaded).__name__ == ("DistilBertForMaskedLM" if dim == "full" else "FactorizedDistilBertForMaskedLM")
    torch.testing.assert_close(loaded(LONG).logits, model(LONG).logits, rtol=0, atol=0)
    export_model(folder, tmp_path / "exported")
    exported = DistilBertForMaskedLM.from_pretrained(tmp_path / "exported")
    torch.testing.assert_close(exported(LONG).logits, model(LONG).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("distilbert")
def test_training_and_retrieval_find_its_head_and_layers(tmp_path: Path) -> None:
    plain = plain_model(NAME)
    model, source = grafted(write_checkpoint(tmp_path / "checkpoint", plain, NAME), tmp_path, shuffled(), 7)
    hidden, labels = model.base_model(LONG).last_hidden_state[0], LONG[0].flip(0)
    expected = torch.nn.functional.cross_entropy(model(LONG).logits[0], labels, reduction="sum")
    torch.testing.assert_close(output_head(model).loss(hidden, labels), expected)
    states = plain(LONG, output_hidden_states=True).hidden_states
    torch.testing.assert_close(stopped_after(plain, 1)(LONG).last_hidden_state, states[1])
    assert usable_positions(AutoConfig.from_pretrained(source)) == 40


@pytest.mark.usefixtures("distilbert")
def test_a_source_without_head_gets_one(tmp_path: Path) -> None:
    source = write_small_source(tmp_path, plain_model(NAME), head=False)
    rows = plain_model(NAME).get_input_embeddings().weight.detach().numpy()
    model = assemble(source, *with_primitives(copied_from(rows, shuffled()), None), vocabulary(NAME))
    assert model.get_parameter("vocab_projector.bias").std() > 0
    assert torch.equal(model.get_parameter("vocab_transform.weight"), torch.eye(24))


@pytest.mark.usefixtures("distilbert")
@pytest.mark.parametrize("distilbert", [DATA.replace(", tied_to=_WORDS", "")], indirect=True)
def test_an_output_table_of_its_own_is_made_by_the_same_map(tmp_path: Path) -> None:
    plain = plain_model(NAME, tie_word_embeddings=False)
    permutation, target = shuffled(), permuted(vocabulary(NAME), shuffled())
    assert not torch.equal(plain.get_input_embeddings().weight, plain.get_output_embeddings().weight)
    write_checkpoint(tmp_path / "checkpoint", plain, NAME)
    settings = SourceSettings(model=str(tmp_path / "checkpoint"), languages=["eng_Latn"])
    write_source(settings, tmp_path / "source", Provenance("source"))
    output = read_output_table(tmp_path / "source" / "model.safetensors")
    assert output is not None
    rows, made = copied_from(plain.get_input_embeddings().weight.detach().numpy(), permutation)
    output_rows = target_rows(made, output.rows, None, 0)
    model = assemble(tmp_path / "source", rows, None, made, target, output_rows=output_rows)
    assert_same(model, plain, permutation)
    with pytest.raises(InputError, match="no factors that both share"):
        assemble(tmp_path / "source", rows[:, :4], rows[:4], made, target, output_rows=output_rows)
    with pytest.raises(InputError, match="output layer is tied to its word embeddings"):
        source_family({"model_type": NAME}, tmp_path)


def test_its_limits_are_known_when_a_workflow_is_parsed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    values = yaml.safe_load((Path(__file__).parents[3] / "config" / "config.yaml").read_text(encoding="utf-8"))
    values["tasks"]["sr_b"]["layer"] = 2
    demo = load_config(values)
    DistilBertConfig(dim=12, n_heads=3, n_layers=1, max_position_embeddings=20).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="models of type 'distilbert' cannot be grafted"):
        check_fit(demo, "minilm", tmp_path)
    request.getfixturevalue("distilbert")
    with pytest.raises(ConfigError, match=r"the model's width 12; .* the model has 1 layers; .* the model's 20 positions"):
        check_fit(demo, "minilm", tmp_path)
