"""What reruns, and what does not, when something changes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from .conftest import Checkout

AFTER_SCORES = {"scores": 1, "significance": 1, "report": 1}
AFTER_INITIALIZATION = {"token_origins": 1, **AFTER_SCORES}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def test_touching_files_reruns_nothing(scratch: Checkout) -> None:
    later = time.time() + 100
    for path in scratch.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path, (later, later))
            later += 0.001
    assert scratch.planned("all") == {}


def test_an_option_of_a_method_reruns_its_models_only(scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "{initializer: ofa}", "{initializer: ofa, temperature: 0.2}")
    assert scratch.planned("all") == {"initialized_model": 1, "pretraining": 1, "ranks": 2, **AFTER_INITIALIZATION}


def test_a_pretraining_option_reruns_pretraining_and_what_follows(scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "batch_size: 2", "batch_size: 3")
    assert scratch.planned("all") == {"pretraining": 4, "ranks": 4, **AFTER_SCORES}


def test_a_cap_on_words_reruns_matches_and_not_the_vectors(scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "corpus: bible, dim: 50", "corpus: bible, dim: 50, max_words_per_token: 9")
    planned = scratch.planned("all")
    assert "word_vectors" not in planned
    assert {rule: planned[rule] for rule in ("source_matches", "target_matches", "hypernetwork")} == {
        "source_matches": 1,
        "target_matches": 1,
        "hypernetwork": 1,
    }
    assert planned["initialized_model"] == 4


def test_a_task_option_reruns_the_task(scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "layer: 1", "layer: 2")
    assert scratch.planned("all") == {"ranks": 8, **AFTER_SCORES}


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        (
            "initializers/ofa.py",
            "top_k: PositiveInt = 10",
            "top_k: PositiveInt = 9 + 1",
            # graft is built on it
            {"initialized_model": 2, "pretraining": 2, "ranks": 4, **AFTER_INITIALIZATION},
        ),
        ("evaluation/retrieval.py", '"cpu": 1024', '"cpu": 1023', {"ranks": 8, **AFTER_SCORES}),
        ("report/tables.py", "import annotations", "import annotations\n\nX = 1", {"report": 1}),
        (
            "hypernetwork/losses.py",
            "(target - predicted)",
            "(predicted - target)",
            # prediction does not import the losses: only the model whose network is trained again
            {"hypernetwork": 1, "initialized_model": 1, "pretraining": 1, "ranks": 2, **AFTER_INITIALIZATION},
        ),
        ("evaluation/retrieval.py", "# on a CPU what fits", "# on CPUs what fits", {}),
        ("config/configuration.py", '"""JSON schema', '"""The JSON schema', {}),
    ],
)
def test_an_edited_module_reruns_the_stages_that_import_it(
    scratch: Checkout, module: str, old: str, new: str, expected: dict[str, int]
) -> None:
    edit(scratch.folder / "lexigraft" / module, old, new)
    assert scratch.planned("all") == expected


def test_a_changed_pin_reruns_everything(scratch: Checkout) -> None:
    edit(scratch.folder / "requirements.lock", "numpy==", "numpy==0.")
    assert sum(scratch.planned("all").values()) == 31


def test_a_deleted_artifact_is_remade_and_nothing_else_changes(scratch: Checkout) -> None:
    before = scratch.artifacts()
    deleted = "results/mini/ranks/sr_b/ofa-minilm-32-step-0.parquet"
    (scratch.folder / deleted).unlink()
    assert scratch.planned("all") == {"ranks": 1, **AFTER_SCORES}
    scratch.run("all")
    after = scratch.artifacts()
    assert [name for name in before if before[name] != after.get(name)] == []


@pytest.mark.parametrize(
    ("path", "rule", "jobs"),
    [
        ("resources/factors/minilm-32.safetensors", "factors", 22),
        ("resources/matches/bible-50/target-bible-4k.parquet", "target_matches", 21),
        ("results/mini/models/ofa-minilm-32/step-0/model.safetensors", "initialized_model", 8),
    ],
)
def test_whatever_is_deleted_is_remade_with_what_depends_on_it(scratch: Checkout, path: str, rule: str, jobs: int) -> None:
    (scratch.folder / path).unlink()
    planned = scratch.planned("all")
    assert planned[rule] == 1
    assert sum(planned.values()) == jobs


def test_a_single_target_by_its_name(scratch: Checkout) -> None:
    (scratch.folder / "resources/factors/minilm-32.safetensors").unlink()
    assert scratch.planned("resources/factors/minilm-32.safetensors") == {"factors": 1}


def test_another_configuration_stands_alone(scratch: Checkout) -> None:
    assert scratch.planned("resources/tokenizers/bible-4k/tokenizer.json") == {}
    done = scratch.snakemake("-n", "resources/tokenizers/bible-30k/tokenizer.json")
    assert done.returncode != 0
    assert "the configuration has no 'bible-30k' in tokenizers; did you mean 'bible-4k'?" in done.stdout + done.stderr
