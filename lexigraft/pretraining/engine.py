"""Continual pre-training of an initialized model: checks, training, and the models after the named steps."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import torch

from lexigraft.artifacts import Provenance, identity, read_table, remove_leftovers, write_table
from lexigraft.devices import check_gpus
from lexigraft.errors import ConfigError, InputError
from lexigraft.modeling.card import trained_card
from lexigraft.modeling.load import STAGES
from lexigraft.modeling.output_head import output_head
from lexigraft.modeling.saving import write_model_folder
from lexigraft.pretraining.card import training_section
from lexigraft.pretraining.data import TrainingData
from lexigraft.pretraining.failures import disk_full
from lexigraft.pretraining.group import group_of
from lexigraft.pretraining.history import TABLES, written_tables
from lexigraft.pretraining.job import Job
from lexigraft.pretraining.launch import launch
from lexigraft.pretraining.loop import train
from lexigraft.pretraining.model import MODEL_KINDS, prepared_for_training
from lexigraft.pretraining.objectives import objective_of
from lexigraft.pretraining.optimizer import check_something_learns
from lexigraft.pretraining.packing import tokenizer_digest
from lexigraft.pretraining.progress_log import summary_writer
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.pretraining.shards import check_shards
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.training.checkpoints import Checkpoints, fingerprint, model_names, set_parameters
from lexigraft.training.history import History

log = logging.getLogger(__name__)

NOT_IN_FINGERPRINT = {"models", "save_every", "save_minutes", "tensorboard", "max_sentences", "languages", "corpus"}
"""Settings that change nothing in the result, or change it through the data, whose digest counts."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Where `history.written_tables` and `sequences_by_language` of a run go; only `speed` is not the same in every run."""

    history: Path
    held_out: Path
    languages: Path
    speed: Path


def pretrain(
    settings: PretrainingSettings,
    model_folder: Path,
    data_paths: Sequence[Path],
    vocabulary_path: Path,
    out_folders: Mapping[int, Path],
    tables: Tables,
    checkpoint_folder: Path,
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
    nodes: int = 1,
) -> None:
    """Train a model and write it as it is after each named step.

    Killed and called again with the same arguments it continues from its last checkpoint and, on a CPU, ends with the same
    bytes. The results are written when training is done, the resumable state is removed after that.

    Args:
        settings, model_folder, data_paths, vocabulary_path, seed: see `Job`.
        out_folders: named step -> folder of the model after it; its steps are `settings.checkpoints`.
        tables: where histories and counts go.
        checkpoint_folder: resumable state; about three times the model's size for each of a few checkpoints.
        threads: of the CPU, over all processes of a machine.
        gpus: of each machine; 0 trains on the CPU.
        provenance: of everything written.
        nodes: machines; more than one are started by Slurm.

    Raises:
        Interrupted: SIGTERM or SIGUSR1 was received, and a checkpoint is written; a SystemExit with code 75.
        ConfigError: settings and machine, or settings and checkpoints, do not fit.
        InputError: model, data and vocabulary do not fit each other or the settings.
        ArtifactError: one of them is damaged.
        LexigraftError: the loss became NaN or infinite, or memory or disk are full; the checkpoints stay.
    """
    if sorted(out_folders) != settings.checkpoints:
        raise ConfigError(f"models are wanted after steps {sorted(out_folders)}, `checkpoints` are {settings.checkpoints}")
    # a stage has done so for its outputs; here for whoever calls this without one
    for path in (tables.history, tables.held_out, tables.languages, tables.speed):
        remove_leftovers(path)
    for leftover in (path for folder in out_folders.values() for path in folder.glob(".*.part")):
        leftover.unlink(missing_ok=True)
    device, processes = hardware(gpus, settings.accumulation, nodes)
    files = {"model": model_folder / "model.safetensors", "vocabulary": vocabulary_path}
    data = " ".join(identity(path) for path in data_paths)
    decides = fingerprint(settings, NOT_IN_FINGERPRINT, files, seed, provenance, data=data)
    job = Job(
        settings=settings,
        model_folder=model_folder,
        data_paths=list(data_paths),
        vocabulary_path=vocabulary_path,
        folder=checkpoint_folder,
        tensorboard_folder=tables.history.parent / "tensorboard",
        start=Checkpoints(checkpoint_folder, decides).newest(),
        seed=seed,
        device=device,
        processes=processes,
        machines=nodes,
        threads=max(1, threads // processes),
        fingerprint=decides,
    )
    prepare(job)
    if job.processes * job.machines > 1:
        launch(job)
    else:
        with group_of(job.device) as group:
            train(job, group)
    with disk_full(job):
        finish(job, out_folders, tables, provenance)


def hardware(gpus: int, accumulation: int, nodes: int = 1) -> tuple[Literal["cpu", "cuda"], int]:
    """Return the kind of device and the number of processes on each machine.

    Raises:
        ConfigError: the machine has fewer GPUs, or there are too few micro-batches for each process to get one.
    """
    check_gpus(gpus)
    processes = max(gpus, 1)
    total = processes * nodes
    if total > accumulation:
        raise ConfigError(
            f"{accumulation} micro-batches per step (`accumulation`) cannot be shared by {total} GPUs",
            where="gpus",
            hint="use fewer GPUs, or a smaller `batch_size` and a larger `accumulation`",
        )
    if accumulation % total:
        log.warning("%d micro-batches are shared unevenly by %d GPUs: some wait for others", accumulation, total)
    return ("cuda" if gpus else "cpu"), processes


def prepare(job: Job) -> None:
    """Check all that can be checked before the first step; for what is raised see `pretrain`."""
    settings, objective = job.settings, objective_of(job.settings)
    vocabulary = read_vocabulary(job.vocabulary_path)
    objective.check(settings.length, vocabulary, job.vocabulary_path)
    kind = MODEL_KINDS[objective.model_kind]
    model = kind.load(job.model_folder)
    if model.config.vocab_size != len(vocabulary):
        raise InputError(
            f"the model has {model.config.vocab_size} tokens, the vocabulary {len(vocabulary)}",
            where=f"{job.model_folder}, {job.vocabulary_path}",
            hint="give the vocabulary of the model's own tokenizer",
        )
    positions = kind.longest(model.config)
    if positions is not None and settings.length > positions:
        raise InputError(
            f"sequences of {settings.length} tokens are longer than the model's {positions} positions",
            where=job.model_folder,
            hint=f"set `length` to {positions} or less",
        )
    check_something_learns(model, settings)
    prepared_for_training(model, settings, torch.device("cpu"))
    if job.device == "cpu":
        output_head(model, settings.output_kernel)
    minimum = settings.batch_size * settings.accumulation
    digest = tokenizer_digest(job.model_folder)
    check_shards(job.data_paths, settings.length, model.config.vocab_size, digest, minimum)
    if settings.tensorboard:
        summary_writer(job.tensorboard_folder, job.start).close()
    job.folder.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(job)
    for folder in job.folder.glob("launch-*"):
        shutil.rmtree(folder, ignore_errors=True)


def finish(job: Job, out_folders: Mapping[int, Path], tables: Tables, provenance: Provenance) -> None:
    """Write the models after the named steps and the tables from the checkpoints, then remove all state."""
    model = MODEL_KINDS[objective_of(job.settings).model_kind].load(job.model_folder)
    tokens = read_table(job.model_folder / "tokens.parquet", STAGES)
    card = (job.model_folder / "README.md").read_text(encoding="utf-8")
    data, checkpoints, history = TrainingData.of(job), job.checkpoints(), History(TABLES)
    history.restore(checkpoints.read(job.settings.steps, history.names))
    sequences = sequences_by_language(data, job.settings)
    for step, folder in out_folders.items():
        set_parameters(model, checkpoints.read(step, model_names(model)), "model/")
        text = trained_card(card, training_section(job.settings, history.table("history"), sequences, step, job.seed))
        write_model_folder(model, job.model_folder, folder, tokens, text, provenance)
        log.info("model after step %d: %s", step, folder)
    for name, table in {**written_tables(history, data.languages), "languages": sequences}.items():
        write_table(getattr(tables, name), table, provenance)
    _remove_unfinished(job)
    for name in TABLES:
        (job.folder / f"{name}.parquet").unlink(missing_ok=True)
    checkpoints.clear()


def sequences_by_language(data: TrainingData, settings: PretrainingSettings) -> pl.DataFrame:
    """What each language has and gave: language, sentences, sequences, held_out, drawn, tokens_drawn, epochs."""
    drawn = pl.Series(list(data.drawn(settings.steps).values()))
    return pl.DataFrame(
        {
            "language": data.languages,
            "sentences": [int(shard.sentences.sum(dtype="int64")) for shard in data.shards],
            "sequences": [shard.rows for shard in data.shards],
            "held_out": [len(shard.held_out) for shard in data.shards],
            "drawn": drawn,
            "tokens_drawn": drawn * settings.length,
            "epochs": drawn / pl.Series([shard.training_rows for shard in data.shards]),
        }
    )


def _remove_unfinished(job: Job) -> None:
    """Remove what a killed run was writing, and the request to stop."""
    job.checkpoints().remove_unfinished()
    for path in (*job.folder.glob(".*.parquet.*.part"), job.stop_file):
        path.unlink(missing_ok=True)
