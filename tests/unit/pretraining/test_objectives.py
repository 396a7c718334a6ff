"""Objectives: the registry, their options among the settings, and the one of CONTRIBUTING.md, trained for real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pretraining_cases import DEFAULTS, LENGTH, vocabulary
from process_cases import python

from lexigraft.errors import InputError
from lexigraft.pretraining.objectives import objective_of, registry
from lexigraft.pretraining.objectives.causal import CausalLanguageModeling, next_tokens
from lexigraft.pretraining.objectives.mlm import MaskedLanguageModeling
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import parse
from tests.examples import example_files

TOY = example_files()["lexigraft/pretraining/objectives/every_nth.py"]
RUN = """
import json, sys
from pathlib import Path
from lexigraft.pretraining import objectives
objectives.__path__.append(sys.argv[1])
from pretraining_cases import history, run
from lexigraft.config.configuration import json_schema
inputs, out = Path(sys.argv[2]), Path(sys.argv[3])
options = {"steps": 40, "checkpoints": [40], "learning_rates": dict.fromkeys(("encoder", "coordinates", "primitives"), 1e-2)}
run(inputs, out, objective="every_nth", nth=5, dropout=0.0, **options)
refused = []
for wrong in ({"objective": "every_nth", "nth": 16}, {"nth": 3}):
    try:
        run(inputs, out / "none", **wrong)
    except Exception as error:
        refused.append(str(error))
table, keys = history(out), json_schema()["$defs"]["PretrainingSettings"]["properties"]
columns = [table[name].to_list() for name in ("loss", "predicted")]
print(json.dumps([*columns, refused, keys["objective"]["enum"], keys["nth"]["default"]]))
"""


def test_the_registry_holds_both_objectives_and_the_settings_their_options() -> None:
    assert registry() == {"causal": CausalLanguageModeling, "mlm": MaskedLanguageModeling}
    assert {name: objective.model_kind for name, objective in registry().items()} == {"causal": "causal", "mlm": "masked"}
    chosen = objective_of(PretrainingSettings(corpus="c", mask_probability=0.3, whole_words=True))
    assert chosen == MaskedLanguageModeling(mask_probability=0.3, whole_words=True)
    settings = PretrainingSettings(corpus="c", objective="causal")
    assert objective_of(settings) == CausalLanguageModeling()
    assert parse(PretrainingSettings, settings.model_dump(mode="json")) == settings


def test_a_causal_batch_predicts_the_next_token_of_sequences_that_have_one() -> None:
    tokens = np.random.default_rng(0).integers(300, size=(3, 7))
    batch = next_tokens(tokens)
    assert (batch.input_ids == tokens).all()
    labels = {(position // 7, position % 7): label for position, label in zip(batch.positions, batch.labels, strict=True)}
    assert labels == {(row, place): tokens[row, place + 1] for row in range(3) for place in range(6)}
    CausalLanguageModeling().check(2, vocabulary())
    with pytest.raises(InputError, match="no next token"):
        CausalLanguageModeling().check(1, vocabulary())


def test_an_objective_is_added_with_one_file(pretraining_inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "every_nth.py").write_text(TOY)
    done = python(RUN, tmp_path, pretraining_inputs, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    losses, predicted, refused, names, default = json.loads(done.stdout.splitlines()[-1])
    sequences = DEFAULTS["batch_size"] * DEFAULTS["accumulation"]
    assert predicted == [sequences * len(range(5, LENGTH, 5))] * 40
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    assert "no token 16 in 16" in refused[0]
    assert "nth is an option of another objective: it needs `objective: every_nth`" in refused[1]
    assert (names, default) == (["causal", "every_nth", "mlm"], 2)
    card = (tmp_path / "out" / "step-40" / "README.md").read_text()
    assert "Prediction of every n-th token. This is the model after step 40 of 40" in card
    assert "| predicted | every token number 5 |" in card
