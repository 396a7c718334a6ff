"""What does not fit is refused before the first step, with one clear message, and nothing is written."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pretraining_cases import (
    DEFAULTS,
    GROUPS,
    PROVENANCE,
    SEED,
    VOCAB,
    data_paths,
    run,
    sentences,
    tables,
    vocabulary,
    write_inputs,
    write_sequences,
    write_tokenizer,
    write_vocabulary,
)

from lexigraft.errors import ArtifactError, ConfigError, InputError, LexigraftError, MissingPackageError
from lexigraft.pretraining.engine import pretrain
from lexigraft.pretraining.failures import out_of_memory
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import parse
from lexigraft.tokenizers.vocabulary import Vocabulary


def _other_vocabulary(folder: Path) -> None:
    write_vocabulary(folder / "vocabulary.parquet", vocabulary(VOCAB - 1))


def _no_mask(folder: Path) -> None:
    plain = vocabulary()
    roles = tuple(None if role == "mask" else role for role in plain.roles)
    write_vocabulary(folder / "vocabulary.parquet", Vocabulary(plain.tokens, plain.surfaces, roles, plain.counts))


def _truncated_data(folder: Path) -> None:
    path = folder / "tur_Latn.arrow"
    path.write_bytes(path.read_bytes()[:-100])


def _other_tokenizer(folder: Path) -> None:
    write_tokenizer(folder / "other", VOCAB + 7)
    write_sequences(folder / "tur_Latn.arrow", sentences(30), folder / "other", "tur_Latn")


def _too_large_tokens(folder: Path) -> None:
    write_sequences(folder / "tur_Latn.arrow", sentences(300, VOCAB + 40), folder / "step-0", "tur_Latn")


def _same_language(folder: Path) -> None:
    shutil.copy(folder / "tur_Latn.arrow", folder / "again.arrow")


def _no_data(folder: Path) -> None:
    for path in data_paths(folder):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "changes", "error", "message"),
    [
        (None, {"length": 25}, InputError, "sequences of 25 tokens are longer than the model's 24 positions"),
        (None, {"length": 12}, InputError, "have 16 tokens, the settings ask for 12"),
        (None, {"batch_size": 32}, InputError, "96 sequences of 16 tokens are fewer than one effective batch, 128"),
        (None, {"gpus": 64}, ConfigError, r"64 GPUs are asked for, this machine has \d+"),
        (None, {"objective": "causal"}, InputError, "FactorizedBertForMaskedLM, which predicts no next token"),
        (None, {"attention": "flash_attention_2"}, ConfigError, "attention 'flash_attention_2' cannot be used"),
        (None, {"output_kernel": "liger"}, ConfigError, "'liger' runs on GPUs only"),
        (_other_vocabulary, {}, InputError, "the model has 300 tokens, the vocabulary 299"),
        (_no_mask, {}, InputError, "no mask token"),
        (_truncated_data, {}, ArtifactError, "truncated"),
        (_other_tokenizer, {}, InputError, "tur_Latn were made with another tokenizer than the model's"),
        (_too_large_tokens, {}, InputError, r"hold token 3\d\d, the model has 300 tokens(.|\n)*another tokenizer"),
        (_same_language, {}, InputError, "two shards hold tur_Latn"),
        (_no_data, {}, InputError, "there is no data to train on"),
    ],
)
def test_inputs_and_settings_that_do_not_fit_are_refused(
    pretraining_inputs: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None] | None,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    given_inputs = shutil.copytree(pretraining_inputs, tmp_path / "inputs")
    if spoil is not None:
        spoil(given_inputs)
    with pytest.raises(error, match=message):
        run(given_inputs, tmp_path / "out", **changes)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_positions_of_roberta_start_after_padding(tmp_path: Path) -> None:
    write_inputs(tmp_path, "roberta")
    with pytest.raises(InputError, match="longer than the model's 22 positions"):
        run(tmp_path, tmp_path / "out", length=23)


def test_folders_for_other_steps_than_the_checkpoints_are_refused(pretraining_inputs: Path, tmp_path: Path) -> None:
    wanted = PretrainingSettings(**DEFAULTS)
    call = partial(
        pretrain,
        wanted,
        pretraining_inputs / "step-0",
        data_paths(pretraining_inputs),
        pretraining_inputs / "vocabulary.parquet",
    )
    with pytest.raises(ConfigError, match=r"after steps \[8\], `checkpoints` are \[3, 8\]"):
        call({8: tmp_path / "8"}, tables(tmp_path), tmp_path / "s", SEED, 1, 0, PROVENANCE)


def test_tensorboard_needs_its_package(pretraining_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match="TensorBoard files need the package 'tensorboard'"):
        run(pretraining_inputs, tmp_path / "out", tensorboard=True)


def test_memory_that_is_too_small_names_the_settings() -> None:
    import torch

    settings = PretrainingSettings(corpus="c", batch_size=8, accumulation=2)
    with (
        pytest.raises(LexigraftError, match="memory is too small for 8 sequences of 512 tokens") as caught,
        out_of_memory(settings),
    ):
        torch.empty(1 << 60)
    assert "(4 and 4 are the same effective batch)" in str(caught.value)
    with pytest.raises(RuntimeError, match="another"), out_of_memory(settings):
        raise RuntimeError("another")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": dict.fromkeys(GROUPS, 0)}, "all learning rates are 0"),
        ({"learning_rates": {"encoder": -1}}, "greater than or equal to 0"),
        ({"steps": 8, "checkpoints": [8, 3]}, "must ascend"),
        ({"steps": 8, "checkpoints": [3, 3, 8]}, "must ascend"),
        ({"steps": 8, "checkpoints": [3, 7]}, "the last of checkpoints .* must be `steps`, 8"),
        ({"steps": 8, "warmup_steps": 8}, "warmup_steps 8 must be fewer"),
        ({"languages": ["tur_Latn", "tur_Latn"]}, "none twice"),
        ({"languages": []}, "at least one language"),
        ({"languages": ["tur_Latn"], "max_sentences": {"kor_Hang": 5}}, "max_sentences names kor_Hang, which"),
        ({"step": 8}, "did you mean 'steps'"),
        ({"attention": "flash_attention_2", "precision": "float32"}, "it needs `precision: bfloat16`"),
        ({"steps": 8, "phases": [{"until": 4}]}, "the last of the phases ends at 4, which must be `steps`, 8"),
        ({"steps": 8, "phases": [{"until": 8}, {"until": 8}]}, "the ends of phases .* must ascend"),
        (
            {"steps": 8, "phases": [{"until": 4, "learning_rates": dict.fromkeys(GROUPS, 0)}, {"until": 8}]},
            "phase 1 .until step 4. freezes everything",
        ),
        ({"steps": 8, "phases": [{"until": 8, "learning_rates": {"encodr": 0}}]}, "did you mean 'encoder'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(PretrainingSettings, {"corpus": "c", **changes})


def test_defaults_that_follow_from_others() -> None:
    wanted = PretrainingSettings(corpus="c", steps=70, learning_rates={"head": 3e-4}, max_sentences={"tur_Latn": 5})
    assert wanted.checkpoints == [70]
    assert wanted.rates_at(70) == (1, {"encoder": 5e-5, "primitives": 5e-5, "coordinates": 5e-5, "head": 3e-4, "bias": 3e-4})
    assert [wanted.limit_of(language) for language in ("tur_Latn", "kor_Hang")] == [5, None]
    assert [step for step in range(71) if wanted.measured_at(step)] == [0, 70]
