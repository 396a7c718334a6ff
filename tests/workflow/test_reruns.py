"""Which jobs run again after a change, and which do not."""

from __future__ import annotations

import os
import time

import pytest

from tests.checkout import Checkout, edit

AFTER_SCORES = {"scores": 1, "significance": 1, "report": 1}
AFTER_MAPS = {"token_origins": 1, **AFTER_SCORES}


def test_touching_files_reruns_nothing(scratch: Checkout) -> None:
    later = time.time() + 100
    for path in scratch.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path, (later, later))
            later += 0.001
    assert scratch.planned("all") == {}


def test_a_cap_on_words_reruns_matches_and_not_the_vectors(scratch: Checkout) -> None:
    edit(scratch.folder / "mini.yaml", "corpus: bible, dim: 50", "corpus: bible, dim: 50, max_words_per_token: 9")
    planned = scratch.planned("all")
    assert "word_vectors" not in planned
    assert {rule: planned[rule] for rule in ("source_matches", "target_matches", "hypernetwork")} == {
        "source_matches": 1,
        "target_matches": 1,
        "hypernetwork": 1,
    }
    # `random` looks at no word
    assert planned["token_map"] == planned["initialized_model"] == 3


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (
            "mini.yaml",
            "{initializer: ofa}",
            "{initializer: ofa, temperature: 0.2}",
            {"token_map": 1, "initialized_model": 1, "pretraining": 1, "ranks": 2, **AFTER_MAPS},
        ),
        ("mini.yaml", "batch_size: 2", "batch_size: 3", {"pretraining": 4, "ranks": 4, **AFTER_SCORES}),
        ("mini.yaml", "layer: 1", "layer: 2", {"ranks": 8, **AFTER_SCORES}),
        (
            "lexigraft/initializers/ofa.py",
            "top_k: PositiveInt = 10",
            "top_k: PositiveInt = 9 + 1",
            # graft inherits from it
            {"token_map": 2, "initialized_model": 2, "pretraining": 2, "ranks": 4, **AFTER_MAPS},
        ),
        ("lexigraft/evaluation/retrieval.py", '"cpu": 1024', '"cpu": 1023', {"ranks": 8, **AFTER_SCORES}),
        ("lexigraft/report/tables.py", "import annotations", "import annotations\n\nX = 1", {"report": 1}),
        (
            "lexigraft/hypernetwork/losses.py",
            "(target - predicted)",
            "(predicted - target)",
            # prediction does not import the losses: only models whose network is trained again
            {"hypernetwork": 1, "initialized_model": 1, "pretraining": 1, "ranks": 2, **AFTER_SCORES},
        ),
        ("lexigraft/evaluation/retrieval.py", "# on a CPU what fits", "# on CPUs what fits", {}),
        ("lexigraft/config/configuration.py", '"""JSON schema', '"""The JSON schema', {}),
    ],
)
def test_an_edited_setting_or_module_reruns_the_stages_that_use_it(
    scratch: Checkout, path: str, old: str, new: str, expected: dict[str, int]
) -> None:
    edit(scratch.folder / path, old, new)
    assert scratch.planned("all") == expected


def test_a_changed_pin_reruns_everything(scratch: Checkout) -> None:
    edit(scratch.folder / "requirements.lock", "numpy==", "numpy==0.")
    assert sum(scratch.planned("all").values()) == 35


def test_a_deleted_artifact_is_made_again_and_others_are_unchanged(scratch: Checkout) -> None:
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
        ("resources/factors/minilm-32.safetensors", "factors", 21),
        ("resources/matches/bible-50/target-bible-4k.parquet", "target_matches", 20),
        ("results/mini/models/ofa-minilm-32/step-0/model.safetensors", "initialized_model", 7),
    ],
)
def test_a_deleted_artifact_is_made_again_with_its_dependents(scratch: Checkout, path: str, rule: str, jobs: int) -> None:
    (scratch.folder / path).unlink()
    planned = scratch.planned("all")
    assert planned[rule] == 1
    assert sum(planned.values()) == jobs


def test_a_single_file_can_be_a_target(scratch: Checkout) -> None:
    (scratch.folder / "resources/factors/minilm-32.safetensors").unlink()
    assert scratch.planned("resources/factors/minilm-32.safetensors") == {"factors": 1}


def test_configfile_replaces_the_default_configuration(scratch: Checkout) -> None:
    assert scratch.planned("resources/tokenizers/bible-4k/tokenizer.json") == {}
    done = scratch.snakemake("-n", "resources/tokenizers/bible-30k/tokenizer.json")
    assert done.returncode != 0
    assert "the configuration has no 'bible-30k' in tokenizers; did you mean 'bible-4k'?" in done.stdout + done.stderr
