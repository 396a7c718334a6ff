"""The hypernetwork stage: train on a source model's tokens, store the network, its history and how well it predicts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, identity, write_table, write_tensors
from lexigraft.errors import ConfigError
from lexigraft.factorization import Factors, read_factors
from lexigraft.hypernetwork import quality
from lexigraft.hypernetwork.checkpoints import Checkpoints
from lexigraft.hypernetwork.history import History
from lexigraft.hypernetwork.losses import MEASURES
from lexigraft.hypernetwork.predict import MLPPredictor, SetPredictor
from lexigraft.hypernetwork.sets import Integers, WordSets
from lexigraft.hypernetwork.settings import MLPHypernetwork, SetSettings
from lexigraft.hypernetwork.split import Split, split_pairs
from lexigraft.hypernetwork.train import SetPairs, precision_of, train
from lexigraft.hypernetwork.train_mlp import MeanPairs, nearest_foreign, train_networks
from lexigraft.initializers.parts.evidence import word_evidence
from lexigraft.initializers.parts.rows import token_vectors
from lexigraft.matching import read_matches
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.word_vectors.table import WordVectors, read_word_vectors

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]
Predict = Callable[[csr_matrix], Floats]
_NOT_DECIDING = {"prediction_draws", "checkpoint_minutes"}
"""Settings of set networks that change nothing in training."""


@dataclass(frozen=True, slots=True)
class HypernetworkInputs:
    """Files that the stage reads (see docs/artifacts.md).

    Attributes:
        factors: of the source model.
        matches: of the source vocabulary with the words.
        vocabulary: the source's `vocabulary.parquet`.
        words, vectors: the word vectors.
    """

    factors: Path
    matches: Path
    vocabulary: Path
    words: Path
    vectors: Path


@dataclass(frozen=True, slots=True)
class SourcePairs:
    """The source tokens that have a word, and what a network learns from.

    Attributes:
        evidence: (N, words) weights of their words.
        tokens: (N,) their ids.
        factors: of the source model.
        words: the word vectors.
        surfaces: standardised strings of the whole vocabulary.
        languages: that the source model was pretrained on.
        split: of the N tokens.
    """

    evidence: csr_matrix
    tokens: Integers
    factors: Factors
    words: WordVectors
    surfaces: tuple[str, ...]
    languages: tuple[str, ...]
    split: Split

    @property
    def targets(self) -> Floats:
        """(N, D') rows of F."""
        rows: Floats = self.factors.coordinates[self.tokens]
        return rows


def write_hypernetwork(
    settings: SetSettings | MLPHypernetwork,
    inputs: HypernetworkInputs,
    *,
    name: str,
    source: str,
    source_languages: tuple[str, ...],
    network_path: Path,
    history_path: Path,
    quality_path: Path,
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Train a hypernetwork on all source tokens with a match; write its best weights, its history and its quality.

    Killed and called again with the same arguments, networks over sets go on from their last checkpoint (in the folder
    `checkpoints` beside the network) and, on a CPU, end with the same bytes. It is removed when all is written.

    Args:
        name, source: how the table of quality calls the network and the source model.
        provenance: its `parameters` hold the settings and its `seed` the seed, so that `load_predictor` can build the same
            network.

    Raises:
        ConfigError: settings do not fit the word vectors, checkpoints are of another run, or the name is taken.
        InputError: too few tokens with a word, or the loss is not finite.
        ArtifactError: an input is damaged.
    """
    if name == quality.OFA:
        raise ConfigError(
            f"no hypernetwork can be named {name!r}: the table of quality calls OFA's own predictions so",
            where=f"hypernetworks.{name}",
            hint="give it another name",
        )
    torch.set_num_threads(threads)
    device = torch.device("cuda" if gpus else "cpu")
    pairs = read_pairs(settings, inputs, source_languages)
    if isinstance(settings, MLPHypernetwork):
        checkpoints = None
        predict, tensors, histories = _train_mlp(settings, pairs, seed, device)
    else:
        fingerprint = _fingerprint(settings, inputs, source_languages, seed, device, provenance)
        checkpoints = Checkpoints(network_path.parent / "checkpoints", fingerprint, settings.checkpoint_minutes)
        predict, tensors, histories = _train_sets(settings, pairs, seed, device, checkpoints)
    named = {"method": name, "source": source, "seed": seed}
    table = quality.quality_table(predict, pairs.evidence, pairs.targets, pairs.words.vectors, pairs.split, named)
    write_table(history_path, pl.concat([history.table() for history in histories]), provenance)
    write_table(quality_path, table, provenance)
    write_tensors(network_path, tensors, provenance)
    if checkpoints is not None:
        checkpoints.clear()
    _report(histories)
    log.info("held-out source tokens: %s", quality.sentence(table))


def read_pairs(
    settings: SetSettings | MLPHypernetwork, inputs: HypernetworkInputs, source_languages: tuple[str, ...]
) -> SourcePairs:
    """Read what a network is trained on: words by the settings' `source_word_languages` and `word_weights`.

    Raises:
        InputError: too few tokens with a word.
        ArtifactError: an input is damaged.
    """
    factors, words = read_factors(inputs.factors), read_word_vectors(inputs.words, inputs.vectors)
    matches = read_matches(inputs.matches, len(factors.coordinates), len(words))
    surfaces = read_vocabulary(inputs.vocabulary).surfaces
    own = source_languages if settings.source_word_languages else None
    unit = isinstance(settings, MLPHypernetwork) and settings.unit_words
    evidence = word_evidence(matches, surfaces, words, weighted=settings.word_weights, unit=unit, languages=own)
    tokens = np.flatnonzero(np.diff(evidence.indptr) > 0)
    split = split_pairs(len(tokens), settings.validation, settings.test, settings.split_seed)
    return SourcePairs(csr_matrix(evidence[tokens]), tokens, factors, words, surfaces, source_languages, split)


def _train_sets(
    settings: SetSettings, pairs: SourcePairs, seed: int, device: torch.device, checkpoints: Checkpoints
) -> tuple[Predict, Tensors, list[History]]:
    sets = WordSets.of(pairs.evidence, np.arange(len(pairs.tokens)), weighted=settings.word_weights)
    examples = SetPairs(sets, pairs.targets, pairs.words.vectors, pairs.split)
    network, history = train(settings, examples, seed=seed, device=device, checkpoints=checkpoints)
    width = np.array([pairs.words.vectors.shape[1]], dtype=np.int64)
    predictor = SetPredictor(network, settings, pairs.words, pairs.surfaces, seed, device)
    return predictor.of_evidence, {**_state(network), "width": width}, [history]


def _train_mlp(
    settings: MLPHypernetwork, pairs: SourcePairs, seed: int, device: torch.device
) -> tuple[Predict, Tensors, list[History]]:
    examples = mlp_pairs(settings, pairs)
    networks, histories = train_networks(settings, examples, seed=seed, device=device)
    tensors: Tensors = {
        f"{index}.{name}": value for index, network in enumerate(networks) for name, value in _state(network).items()
    }
    tensors["scale"] = np.array([_target_scale(pairs.factors)], dtype=np.float32)
    tensors["singular_values"] = pairs.factors.singular_values
    predictor = MLPPredictor(networks, settings, pairs.words, pairs.surfaces, examples.unscale, device)
    return predictor.of_evidence, tensors, histories


def mlp_pairs(settings: MLPHypernetwork, pairs: SourcePairs) -> MeanPairs:
    """Mean word vectors of the source tokens and their scaled rows of F, with near words of other languages."""
    words = pairs.words
    inputs, _ = token_vectors(pairs.evidence, words.vectors)
    foreign = words.vectors[~words.of_languages(pairs.languages) & (words.sentences >= settings.neighbour_min_sentences)]
    if not len(foreign):
        foreign = words.vectors
    scale, singular = np.float32(_target_scale(pairs.factors)), pairs.factors.singular_values
    targets = (pairs.targets * singular / scale).astype(np.float32)
    neighbours = nearest_foreign(inputs, foreign, settings.neighbours)
    return MeanPairs(inputs, targets, (scale / singular).astype(np.float32), neighbours, foreign, pairs.split)


def _target_scale(factors: Factors) -> float:
    return float(np.mean(np.abs(factors.coordinates * factors.singular_values), dtype=np.float64))


def _state(network: torch.nn.Module) -> Tensors:
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def _fingerprint(
    settings: SetSettings,
    inputs: HypernetworkInputs,
    source_languages: tuple[str, ...],
    seed: int,
    device: torch.device,
    provenance: Provenance,
) -> dict[str, str]:
    deciding = settings.model_dump(mode="json", exclude=_NOT_DECIDING)
    files = {"factors": inputs.factors, "matches": inputs.matches, "words": inputs.words, "vectors": inputs.vectors}
    return {
        **{f"setting {name}": str(value) for name, value in deciding.items()},
        **{name: identity(path) for name, path in files.items()},
        "vocabulary": identity(inputs.vocabulary),
        "source languages": " ".join(source_languages),
        "seed": str(seed),
        "device": device.type,
        "precision": str(precision_of(settings.precision, device)),
        "code": provenance.code,
        "pinned versions": provenance.lock,
    }


def _report(histories: list[History]) -> None:
    for history in histories:
        kept = history.kept_epoch()
        for row in history.table().filter(pl.col("epoch") == kept, pl.col("split") != "train").iter_rows(named=True):
            measured = ", ".join(f"{name} {row[name]:.4f}" for name in MEASURES)
            log.info("network %d, kept epoch %d, %s: %s", history.network + 1, kept, row["split"], measured)
