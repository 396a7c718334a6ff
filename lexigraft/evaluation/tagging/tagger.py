"""The stage that fine-tunes a tagger: read, check, train, write."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import torch

from lexigraft.artifacts import Provenance, write_table, write_tensors
from lexigraft.devices import device_for
from lexigraft.errors import InputError
from lexigraft.evaluation.tagging.encoding import WordEncoder
from lexigraft.evaluation.tagging.model import new_tagger
from lexigraft.evaluation.tagging.prediction import labeled, read_at_once
from lexigraft.evaluation.tagging.training import fine_tune
from lexigraft.evaluation.tasks.tagging import TaggerSettings
from lexigraft.tagged_corpora.read import check_tags, read_all, tag_set
from lexigraft.tagged_corpora.settings import TaggedFile
from lexigraft.tokenizers.load import load_tokenizer
from lexigraft.training.checkpoints import Checkpoints, fingerprint, parameters_of

log = logging.getLogger(__name__)

TAGS = pl.Schema({"tag": pl.String, "words": pl.Int64})


def write_tagger(
    task: TaggerSettings,
    *,
    model_folder: Path,
    tagger_path: Path,
    tags_path: Path,
    history_path: Path,
    checkpoint_folder: Path,
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Fine-tune a tagger on the training sentences and write the one that is best on the development sentences.

    Killed and called again with the same arguments it continues from its last checkpoint and, on a CPU, ends with the same
    bytes.

    Args:
        model_folder: a masked language model of lexigraft.
        tagger_path: weights, all parameters of `model.Tagger` by name.
        tags_path: the tag set in the order of the linear layer, and the words of each tag in the training text (`TAGS`).
        history_path: `training.HISTORY`.
        checkpoint_folder: resumable state, three times the model's size for each of up to four checkpoints; removed in the end.
        seed: of the linear layer, order and dropout.

    Raises:
        InputError: a file is missing, broken or empty, the tag sets do not fit, or the model is none of lexigraft's.
        ConfigError: the checkpoints are of another run.
        ArtifactError: the model is damaged.
        DivergedError: the loss became NaN or infinite.
        Interrupted: SIGTERM or SIGUSR1 was received, and a checkpoint is written; a SystemExit with code 75.
    """
    torch.set_num_threads(threads)
    device = device_for(gpus)
    train, dev = read_all(task.train, task), read_all(task.dev, task)
    tags = tag_set(train.tags)
    if len(tags) < 2:
        raise InputError(f"the training text has the tag {tags[0]} only", where=_files(task.train), hint="give tagged text")
    check_tags(dev, tags, "the development text", _files(task.dev))
    tokenizer: Any = load_tokenizer(model_folder)
    tagger = new_tagger(model_folder, len(tags), seed)
    encoder = WordEncoder(tokenizer, read_at_once(task, tagger.encoder.config))
    log.info("device: %s; tags: %s", device, ", ".join(tags))
    checkpoints = Checkpoints(checkpoint_folder, _fingerprint(task, model_folder, seed, provenance))
    checkpoints.remove_unfinished()
    history = fine_tune(
        tagger,
        encoder,
        labeled(encoder, train, tags, "training"),
        labeled(encoder, dev, tags, "development"),
        tags,
        task.fine_tuning,
        headline=task.headline,
        seed=seed,
        checkpoints=checkpoints,
        device=device,
    )
    counts = pl.Series("tag", train.tags).value_counts(name="words")
    table = pl.DataFrame({"tag": tags}).join(counts, on="tag", how="left", maintain_order="left").cast(TAGS)
    write_table(tags_path, table, provenance)
    write_table(history_path, history, provenance)
    write_tensors(tagger_path, parameters_of(tagger), provenance)
    checkpoints.clear()


def _files(files: dict[str, TaggedFile]) -> str:
    return ", ".join(file.path for file in files.values())


def _fingerprint(task: TaggerSettings, model_folder: Path, seed: int, provenance: Provenance) -> dict[str, str]:
    parts = {"train": task.train, "dev": task.dev}
    texts = {f"{part} {language}": file for part, texts in parts.items() for language, file in texts.items()}
    files = {name: Path(file.path) for name, file in texts.items()}
    files |= {"model": model_folder / "model.safetensors", "tokenizer": model_folder / "tokenizer.json"}
    more = {name: getattr(task, name) for name in ("format", "column", "tag_map", "headline")}
    limits = {name: file.max_sentences for name, file in texts.items()}
    return fingerprint(task.fine_tuning, (), files, seed, provenance, max_sentences=limits, **more)
