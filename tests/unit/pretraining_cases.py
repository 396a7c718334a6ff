"""A tiny model, a language that it can learn, and a run of pre-training on them, for the tests of pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from modeling_cases import write_vocabulary
from tokenizers import Tokenizer, models

from lexigraft.artifacts import Provenance, read_table, read_tensors, write_arrow
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.families import family_of
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.pretraining.engine import Tables, pretrain
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.model import MODEL_KINDS
from lexigraft.pretraining.optimizer import GROUPS, parameter_groups
from lexigraft.pretraining.packing import SEQUENCES_A_BATCH, schema_of, tokenizer_digest
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.token_maps.token_map import RANDOM, token_map
from lexigraft.tokenizers.vocabulary import Vocabulary
from lexigraft.training.checkpoints import Checkpoints

VOCAB, LENGTH, SEED = 300, 16, 5
ROLES = ("bos", "pad", "eos", "unk", "mask")
LANGUAGES = {"swh_Latn": 60, "tur_Latn": 36}
PROVENANCE = Provenance("pretraining", parameters={"model": "tiny"}, seed=SEED, code="c0de")
DEFAULTS: dict[str, Any] = {
    "corpus": "tiny",
    "steps": 8,
    "checkpoints": [3, 8],
    "length": LENGTH,
    "batch_size": 2,
    "accumulation": 4,
    "learning_rates": dict.fromkeys(GROUPS, 1e-3),
    "save_every": 2,
    "held_out_sequences": 2,
}
LONG: dict[str, Any] = {"steps": 20, "checkpoints": [2, 20], "batch_size": 1, "accumulation": 2}


def vocabulary(size: int = VOCAB) -> Vocabulary:
    """Special tokens, then words, of which every third continues the word before it."""
    tokens = tuple(f"<{role}>" for role in ROLES) + tuple(f"w{index}" for index in range(len(ROLES), size))
    surfaces = tokens[: len(ROLES)] + tuple(f"{'' if n % 3 == 0 else ' '}w{n}" for n in range(len(ROLES), size))
    roles = ROLES + (None,) * (size - len(ROLES))
    return Vocabulary(tokens, surfaces, roles, np.ones(size, np.int64))


def write_tokenizer(folder: Path, size: int = VOCAB) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: index for index, token in enumerate(vocabulary(size).tokens)}
    Tokenizer(models.WordLevel(ids, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")


def write_sequences(path: Path, tokens: np.ndarray, tokenizer: Path, language: str) -> None:
    """A shard of given (N, length) tokens, one sentence in each."""
    length = tokens.shape[1]
    batches = [
        pa.record_batch(
            [
                pa.FixedSizeListArray.from_arrays(pa.array(part.astype(np.int32).ravel()), length),
                pa.array(np.ones(len(part), np.int32)),
            ],
            schema=schema_of(length),
        )
        for part in (tokens[start : start + SEQUENCES_A_BATCH] for start in range(0, len(tokens), SEQUENCES_A_BATCH))
    ]
    metadata = {"language": language, "length": length, "tokenizer_sha256": tokenizer_digest(tokenizer)}
    write_arrow(path, schema_of(length), batches, Provenance("pretraining_data"), metadata)


def sentences(number: int, largest: int = VOCAB - 1, seed: int = 1, first: int = 0) -> np.ndarray:
    """(number, LENGTH) sentences of a language in which every word is followed by the next one of the vocabulary.

    Sentences with different `first` + row differ, as long as there are no more than words.
    """
    text = largest - len(ROLES) + 1
    starts = np.random.default_rng(seed).permutation(text)[(first + np.arange(number)) % text]
    words = len(ROLES) + (starts[:, None] + np.arange(LENGTH)) % text
    words[:, 0], words[:, -1] = ROLES.index("bos"), ROLES.index("eos")
    return words


def write_shards(folder: Path, largest: int = VOCAB - 1, seed: int = 1) -> None:
    first = 0
    for language, number in LANGUAGES.items():
        write_sequences(folder / f"{language}.arrow", sentences(number, largest, seed, first), folder / "step-0", language)
        first += number


def write_step_0(folder: Path, family: str = "bert") -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "factor_dim": 8}
    config = class_of(family_of(family), "config", factorized=True)(
        vocab_size=VOCAB, max_position_embeddings=24, pad_token_id=1, bos_token_id=0, eos_token_id=2, dtype="float32", **shape
    )
    kind = class_of(family_of(family), "language_model", factorized=True)
    config.architectures = [kind.__name__]
    write_folder(folder, kind(config))


def write_folder(folder: Path, model: Any) -> None:
    """`step-0` of a model with the tiny vocabulary."""
    write_tokenizer(folder / "tokenizer")
    made = vocabulary()
    every = np.zeros(0, np.int64)
    tokens = token_table(made, made, token_map(np.full(VOCAB, -1), VOCAB, RANDOM, every, None))
    card = "# tiny\n\ninitialized, not trained further\n\n## How to load\n\nas ever\n"
    write_model_folder(model, folder / "tokenizer", folder / "step-0", tokens, card, Provenance("initialized_model"))


def write_inputs(folder: Path, family: str = "bert") -> None:
    write_step_0(folder, family)
    write_data(folder)


def write_data(folder: Path) -> None:
    """Vocabulary and shards for a folder with `step-0`."""
    write_vocabulary(folder / "vocabulary.parquet", vocabulary())
    write_shards(folder)


def data_paths(inputs: Path) -> list[Path]:
    return sorted(inputs.glob("*.arrow"))


def tables(out: Path) -> Tables:
    return Tables(*(out / f"{name}.parquet" for name in ("history", "held_out", "languages", "speed")))


def run(inputs: Path, out: Path, *, gpus: int = 0, nodes: int = 1, provenance: Provenance = PROVENANCE, **changes: Any) -> Path:
    """Pre-train on the CPU with one thread; inputs lie in `inputs`, results and state go to `out`."""
    wanted = PretrainingSettings(**{**DEFAULTS, **changes})
    pretrain(
        wanted,
        inputs / "step-0",
        data_paths(inputs),
        inputs / "vocabulary.parquet",
        {step: out / f"step-{step}" for step in wanted.checkpoints},
        tables(out),
        out / "state",
        SEED,
        1,
        gpus,
        provenance,
        nodes,
    )
    return out


def job(inputs: Path, out: Path, processes: int = 1, machines: int = 1, **changes: Any) -> Job:
    """The job of `run`, ready to be trained."""
    out.mkdir(parents=True, exist_ok=True)
    return Job(
        settings=PretrainingSettings(**{**DEFAULTS, **changes}),
        model_folder=inputs / "step-0",
        data_paths=data_paths(inputs),
        vocabulary_path=inputs / "vocabulary.parquet",
        folder=out,
        tensorboard_folder=out / "tensorboard",
        start=0,
        seed=SEED,
        device="cpu",
        processes=processes,
        machines=machines,
        threads=1,
        fingerprint={},
    )


def weights(folder: Path, step: int) -> dict[str, np.ndarray]:
    return read_tensors(folder / f"step-{step}" / "model.safetensors", ("initialized_model", "pretraining"))


def history(folder: Path, table: str = "history") -> pl.DataFrame:
    return read_table(folder / f"{table}.parquet", "pretraining")


def checkpoint_steps(out: Path) -> list[int]:
    return Checkpoints(out / "state", {}).steps()


def groups_by_name(folder: Path, kind: str = "masked") -> dict[str, str]:
    """Name of each parameter of `step-0` -> its group."""
    model = MODEL_KINDS[kind].load(folder / "step-0")
    held = {id(parameter): group for group, members in parameter_groups(model).items() for parameter in members}
    return {name: held[id(parameter)] for name, parameter in model.named_parameters()}


def same_files(one: Path, other: Path) -> bool:
    """Whether two runs left the same files with the same bytes; the table of speeds has its rows only."""

    def names(folder: Path) -> list[str]:
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    assert names(one) == names(other)
    timed = [name for name in names(one) if name.startswith("speed")]
    assert all(history(one, "speed")["step"].equals(history(other, "speed")["step"]) for _ in timed)
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names(one) if name not in timed)
