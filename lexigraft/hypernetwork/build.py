"""The hypernetwork stage: train on a source model's tokens, store the network, its history and how well it predicts."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, write_table, write_tensors
from lexigraft.devices import device_for
from lexigraft.errors import ConfigError
from lexigraft.evidence.word_matches import read_matches
from lexigraft.factors.tables import EmbeddingTable, read_embedding_table
from lexigraft.hypernetwork import quality
from lexigraft.hypernetwork.evidence import Predictor
from lexigraft.hypernetwork.history import EpochHistory
from lexigraft.hypernetwork.losses import MEASURES
from lexigraft.hypernetwork.predict import MLPPredictor, SetPredictor
from lexigraft.hypernetwork.sets import Integers, WordSets
from lexigraft.hypernetwork.settings import MLPHypernetwork, SetSettings
from lexigraft.hypernetwork.split import Split, split_pairs
from lexigraft.hypernetwork.train import SetPairs, train
from lexigraft.hypernetwork.train_mlp import MeanPairs, nearest_foreign, train_networks
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.training.checkpoints import Checkpoints, fingerprint, parameters_of
from lexigraft.training.precision import product_type
from lexigraft.word_vectors.similarity import mean_vectors
from lexigraft.word_vectors.table import WordVectors, read_word_vectors
from lexigraft.word_vectors.word_weights import word_weights

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]
NOT_IN_FINGERPRINT = {"prediction_draws", "checkpoint_minutes"}
"""Settings of set networks that change nothing in training."""


@dataclass(frozen=True, slots=True)
class HypernetworkInputs:
    """Files that the stage reads (see docs/artifacts.md); `table` holds factors, or the source's weights where D' is `full`."""

    table: Path
    matches: Path
    vocabulary: Path
    words: Path
    vectors: Path


@dataclass(frozen=True, slots=True)
class HypernetworkOutputs:
    """Files that the stage writes: the network, the history of its training, and its quality (see docs/artifacts.md)."""

    network: Path
    history: Path
    quality: Path


@dataclass(frozen=True, slots=True)
class SourcePairs:
    """The source tokens that have a word, and what a network learns from.

    Attributes:
        evidence: (N, words) weights of their words.
        tokens: (N,) their ids.
        table: of the source model, whose rows are predicted.
        words: the word vectors.
        languages: that the source model was pretrained on.
        split: of the N tokens.
    """

    evidence: csr_matrix
    tokens: Integers
    table: EmbeddingTable
    words: WordVectors
    languages: tuple[str, ...]
    split: Split

    @property
    def targets(self) -> Floats:
        """(N, D') rows of F."""
        rows: Floats = self.table.rows[self.tokens]
        return rows


def write_hypernetwork(
    settings: SetSettings | MLPHypernetwork,
    inputs: HypernetworkInputs,
    outputs: HypernetworkOutputs,
    *,
    name: str,
    source: str,
    source_languages: tuple[str, ...],
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Train a hypernetwork on all source tokens with a match; write its best weights, its history and its quality.

    Killed and called again with the same arguments, networks over sets continue from their last checkpoint (in the folder
    `checkpoints` next to the network) and, on a CPU, end with the same bytes. It is removed when all is written.

    Args:
        name, source: how the table of quality calls the network and the source model.
        source_languages: languages that the source model was pretrained on.
        threads, gpus: what may be used; without a GPU everything runs on the CPU.
        provenance: of everything written; its seed is that of everything random.

    Raises:
        ConfigError: settings do not fit the word vectors, checkpoints are of another run, or the name is taken.
        InputError: too few tokens with a word.
        ArtifactError: an input is damaged.
        DivergedError: the loss is not finite.
        Interrupted: SIGTERM or SIGUSR1 was received, and a checkpoint is written; a SystemExit with code 75.
    """
    if name == quality.OFA:
        raise ConfigError(
            f"no hypernetwork can be named {name!r}: this name stands for OFA's own predictions in the table of quality",
            where=f"hypernetworks.{name}",
            hint="give it another name",
        )
    torch.set_num_threads(threads)
    device, seed = device_for(gpus), provenance.seed or 0
    pairs = read_pairs(settings, inputs, source_languages)
    if isinstance(settings, MLPHypernetwork):
        checkpoints = None
        predict, tensors, histories = _train_mlp(settings, pairs, seed, device)
    else:
        decides = fingerprint(
            settings,
            NOT_IN_FINGERPRINT,
            asdict(inputs),
            seed,
            provenance,
            source_languages=" ".join(source_languages),
            device=device.type,
            precision=product_type(settings.precision, device),
        )
        checkpoints = Checkpoints(outputs.network.parent / "checkpoints", decides, settings.checkpoint_minutes, "epoch")
        predict, tensors, histories = _train_sets(settings, pairs, seed, device, checkpoints)
    named = {"method": name, "source": source, "seed": seed}
    table = quality.quality_table(predict, pairs.evidence, pairs.targets, pairs.words.vectors, pairs.split, named)
    write_table(outputs.history, pl.concat([history.epochs() for history in histories]), provenance)
    write_table(outputs.quality, table, provenance)
    sizes = {"width": pairs.words.vectors.shape[1], "rank": pairs.targets.shape[1]}
    metadata = {"settings": settings.model_dump(mode="json"), **sizes, "seed": seed}
    write_tensors(outputs.network, tensors, provenance, metadata)
    if checkpoints is not None:
        checkpoints.clear()
    for history in histories:
        epoch = history.tested_epoch()
        for row in history.epochs().filter(pl.col("epoch") == epoch, pl.col("split") != "train").iter_rows(named=True):
            measured = ", ".join(f"{name} {row[name]:.4f}" for name in MEASURES)
            log.info("network %d, weights of epoch %d, %s: %s", history.network + 1, epoch, row["split"], measured)
    log.info("held-out source tokens: %s", quality.sentence(table))


def read_pairs(
    settings: SetSettings | MLPHypernetwork, inputs: HypernetworkInputs, source_languages: tuple[str, ...]
) -> SourcePairs:
    """Read what a network is trained on: words by the settings' `source_word_languages` and `word_weights`.

    Raises:
        InputError: too few tokens with a word.
        ArtifactError: an input is damaged.
    """
    table, words = read_embedding_table(inputs.table), read_word_vectors(inputs.words, inputs.vectors)
    matches = read_matches(inputs.matches, len(table.rows), len(words))
    surfaces = read_vocabulary(inputs.vocabulary).surfaces
    own = source_languages if settings.source_word_languages else None
    unit = isinstance(settings, MLPHypernetwork) and settings.unit_words
    evidence = word_weights(matches, surfaces, words, weighted=settings.word_weights, unit=unit, languages=own)
    tokens = np.flatnonzero(np.diff(evidence.indptr) > 0)
    split = split_pairs(len(tokens), settings.validation, settings.test, settings.split_seed)
    return SourcePairs(csr_matrix(evidence[tokens]), tokens, table, words, source_languages, split)


def _train_sets(
    settings: SetSettings, pairs: SourcePairs, seed: int, device: torch.device, checkpoints: Checkpoints
) -> tuple[Predictor, Tensors, list[EpochHistory]]:
    sets = WordSets.of(pairs.evidence, weighted=settings.word_weights)
    examples = SetPairs(sets, pairs.targets, pairs.words.vectors, pairs.split)
    network, history = train(settings, examples, seed=seed, device=device, checkpoints=checkpoints)
    return SetPredictor(network, settings, pairs.words, seed, device), parameters_of(network), [history]


def _train_mlp(
    settings: MLPHypernetwork, pairs: SourcePairs, seed: int, device: torch.device
) -> tuple[Predictor, Tensors, list[EpochHistory]]:
    examples = mlp_pairs(settings, pairs)
    networks, histories = train_networks(settings, examples, seed=seed, device=device)
    tensors = {
        name: value for index, network in enumerate(networks) for name, value in parameters_of(network, f"{index}.").items()
    }
    tensors["scale"] = np.array([_target_scale(pairs.table)], dtype=np.float32)
    tensors["singular_values"] = pairs.table.scale
    predictor = MLPPredictor(networks, pairs.words, examples.unscale, device)
    return predictor, tensors, histories


def mlp_pairs(settings: MLPHypernetwork, pairs: SourcePairs) -> MeanPairs:
    """Mean word vectors of the source tokens and their scaled rows of F, with near words of other languages."""
    words = pairs.words
    inputs, _ = mean_vectors(pairs.evidence, words.vectors)
    foreign = words.vectors[~words.of_languages(pairs.languages) & (words.sentences >= settings.neighbor_min_sentences)]
    if not len(foreign):
        foreign = words.vectors
    scale, singular = np.float32(_target_scale(pairs.table)), pairs.table.scale
    targets = (pairs.targets * singular / scale).astype(np.float32)
    nearest = nearest_foreign(inputs, foreign, settings.neighbors)
    kept = np.unique(nearest)
    unscale, neighbors = (scale / singular).astype(np.float32), np.searchsorted(kept, nearest)
    return MeanPairs(inputs, targets, unscale, neighbors, foreign[kept], pairs.split)


def _target_scale(table: EmbeddingTable) -> float:
    return float(np.mean(np.abs(table.rows * table.scale), dtype=np.float64))
