"""Continual pre-training of an initialised model: checks, training, and the models after the named steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from lexigraft.artifacts import Provenance, identity, read_table, write_table
from lexigraft.errors import ConfigError, InputError
from lexigraft.modeling.card import trained_card
from lexigraft.modeling.families import family_of
from lexigraft.modeling.load import STAGES, load_model
from lexigraft.modeling.saving import write_model_folder
from lexigraft.pretraining.card import training_section
from lexigraft.pretraining.checkpoints import clear, newest_checkpoint, read_checkpoint
from lexigraft.pretraining.group import Group, device_of
from lexigraft.pretraining.history import History
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.launch import launch
from lexigraft.pretraining.loop import restore_model, train
from lexigraft.pretraining.masking import masking_rule
from lexigraft.pretraining.sequences import unpack
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary

log = logging.getLogger(__name__)


def pretrain(
    settings: PretrainingSettings,
    model_folder: Path,
    data_path: Path,
    vocabulary_path: Path,
    out_folders: Mapping[int, Path],
    history_path: Path,
    checkpoint_folder: Path,
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Train a factorised model by masked language modelling and write it as it is after each named step.

    Killed and called again with the same arguments it goes on from its last checkpoint and, on a CPU, ends with the same bytes.
    The results are written when training is done, the resumable state is removed after that.

    Args:
        settings: of the run.
        model_folder: the model at step 0.
        data_path: what `write_pretraining_data` wrote.
        vocabulary_path: `vocabulary.parquet` of the model's tokenizer.
        out_folders: named step -> folder of the model after it; its steps are `settings.checkpoints`.
        history_path: table of all steps, see `History`.
        checkpoint_folder: resumable state; about three times the model's size for each of a few checkpoints, and the sequences.
        seed: of order, masking and dropout, at least 0.
        threads: of the CPU, over all processes.
        gpus: 0 trains on the CPU.
        provenance: of everything written.

    Raises:
        ConfigError: settings and machine, or settings and checkpoints, do not fit.
        InputError: model, data and vocabulary do not fit each other or the settings.
        ArtifactError: one of them is damaged.
        LexigraftError: the loss became NaN or infinite; the checkpoints stay.
    """
    if sorted(out_folders) != settings.checkpoints:
        raise ConfigError(f"models are wanted after steps {sorted(out_folders)}, `checkpoints` are {settings.checkpoints}")
    device, processes = hardware(gpus, settings.accumulation)
    fingerprint = _fingerprint(settings, model_folder, data_path, vocabulary_path, seed, provenance)
    job = Job(
        settings=settings,
        model_folder=model_folder,
        data_path=data_path,
        vocabulary_path=vocabulary_path,
        folder=checkpoint_folder,
        start=newest_checkpoint(checkpoint_folder, fingerprint, settings.checkpoints),
        seed=seed,
        device=device,
        processes=processes,
        threads=max(1, threads // processes),
        fingerprint=fingerprint,
    )
    prepare(job)
    if job.processes > 1:
        launch(job)
    else:
        train(job, Group(device_of(job.device, 0)))
    finish(job, out_folders, history_path, provenance)


def hardware(gpus: int, accumulation: int) -> tuple[Literal["cpu", "cuda"], int]:
    """Return the kind of device and the number of processes.

    Raises:
        ConfigError: the machine has fewer GPUs, or there are too few micro-batches for each to get one.
    """
    if gpus == 0:
        return "cpu", 1
    present = torch.cuda.device_count()
    if gpus > present:
        raise ConfigError(
            f"{gpus} GPUs are asked for, this machine has {present} that torch {torch.__version__} can use",
            where="gpus",
            hint="set `gpus` to 0 to train on the CPU, ask the cluster for more, or install torch for this machine's driver",
        )
    if gpus > accumulation:
        raise ConfigError(
            f"{accumulation} micro-batches a step (`accumulation`) cannot be shared by {gpus} GPUs",
            where="gpus",
            hint="use fewer GPUs, or a smaller `batch_size` and a larger `accumulation`",
        )
    if accumulation % gpus:
        log.warning("%d micro-batches are shared unevenly by %d GPUs: some wait for others", accumulation, gpus)
    return "cuda", gpus


def prepare(job: Job) -> None:
    """Check all that can be checked before the first step, and unpack the sequences.

    Raises:
        ConfigError, InputError, ArtifactError: see `pretrain`.
    """
    settings = job.settings
    vocabulary = read_vocabulary(job.vocabulary_path)
    masking_rule(vocabulary, job.vocabulary_path)
    config = load_model(job.model_folder).config
    if config.vocab_size != len(vocabulary):
        raise InputError(
            f"the model has {config.vocab_size} tokens, the vocabulary {len(vocabulary)}",
            where=f"{job.model_folder}, {job.vocabulary_path}",
            hint="give the vocabulary of the model's own tokenizer",
        )
    positions = config.max_position_embeddings
    if family_of(config.model_type).positions_follow_padding:
        positions -= config.pad_token_id + 1
    if settings.length > positions:
        raise InputError(
            f"sequences of {settings.length} tokens are longer than the model's {positions} positions",
            where=job.model_folder,
            hint=f"set `length` to {positions} or less",
        )
    job.folder.mkdir(parents=True, exist_ok=True)
    unpack(job.data_path, job.folder, settings.length, config.vocab_size, settings.batch_size * settings.accumulation)


def finish(job: Job, out_folders: Mapping[int, Path], history_path: Path, provenance: Provenance) -> None:
    """Write the models after the named steps and the history from the checkpoints, then remove all state."""
    model = load_model(job.model_folder)
    tokens = read_table(job.model_folder / "tokens.parquet", STAGES)
    card = (job.model_folder / "README.md").read_text(encoding="utf-8")
    history = History.restored(read_checkpoint(job.folder, job.settings.steps)).table()
    for step, folder in out_folders.items():
        restore_model(model, read_checkpoint(job.folder, step))
        text = trained_card(card, training_section(job.settings, history, step, job.seed))
        write_model_folder(model, job.model_folder, folder, tokens, text, provenance)
        log.info("model after step %d: %s", step, folder)
    write_table(history_path, history, provenance)
    clear(job.folder)


def _fingerprint(
    settings: PretrainingSettings, model_folder: Path, data_path: Path, vocabulary_path: Path, seed: int, provenance: Provenance
) -> dict[str, str]:
    deciding = settings.model_dump(mode="json", exclude={"save_every"})
    return {
        **{f"setting {name}": str(value) for name, value in deciding.items()},
        "model": identity(model_folder / "model.safetensors"),
        "data": identity(data_path),
        "vocabulary": identity(vocabulary_path),
        "seed": str(seed),
        "code": provenance.code,
        "pinned versions": provenance.lock,
    }
