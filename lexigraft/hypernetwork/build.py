"""The hypernetwork stage: train on a source model's tokens, store the network, and load it to predict."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, read_provenance, read_tensors, write_table, write_tensors
from lexigraft.errors import ArtifactError
from lexigraft.factorization import Factors, read_factors
from lexigraft.hypernetwork import bilstm, mlp
from lexigraft.hypernetwork.history import History
from lexigraft.hypernetwork.sets import WordSets
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, HypernetworkSettings, MLPHypernetwork
from lexigraft.initializers.parts.evidence import word_evidence
from lexigraft.initializers.parts.rows import token_vectors
from lexigraft.matching import read_matches
from lexigraft.settings import parse
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.word_vectors.table import WordVectors, read_word_vectors

log = logging.getLogger(__name__)

STAGE = "hypernetwork"
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def write_hypernetwork(
    settings: BiLSTMHypernetwork | MLPHypernetwork,
    *,
    factors_path: Path,
    matches_path: Path,
    vocabulary_path: Path,
    words_path: Path,
    vectors_path: Path,
    source_languages: tuple[str, ...],
    network_path: Path,
    history_path: Path,
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Train a hypernetwork on all source tokens with a match; write its best weights and its loss history.

    `provenance.parameters` holds the settings, so that `load_predictor` can build the same network.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if gpus else "cpu")
    factors, vectors = read_factors(factors_path), read_word_vectors(words_path, vectors_path)
    matches = read_matches(matches_path, len(factors.coordinates), len(vectors))
    if isinstance(settings, BiLSTMHypernetwork):
        known = np.flatnonzero(np.diff(matches.indptr) > 0)
        sets, targets = WordSets.of(matches, known), factors.coordinates[known]
        network, history = bilstm.train(settings, sets, vectors.vectors, targets, seed=seed, device=device)
        tensors = _state(network)
        histories = [history]
    else:
        surfaces = read_vocabulary(vocabulary_path).surfaces
        pairs = mlp_pairs(settings, factors, matches, surfaces, vectors, source_languages)
        networks, histories = mlp.train(settings, pairs, seed=seed, device=device)
        tensors = {f"{index}.{name}": value for index, item in enumerate(networks) for name, value in _state(item).items()}
        tensors["scale"] = np.array([_target_scale(factors)], dtype=np.float32)
        tensors["singular_values"] = factors.singular_values
    write_table(history_path, pl.concat([history.table() for history in histories]), provenance)
    write_tensors(network_path, tensors, provenance)
    _report(histories)


def mlp_pairs(
    settings: MLPHypernetwork,
    factors: Factors,
    matches: csr_matrix,
    surfaces: tuple[str, ...],
    vectors: WordVectors,
    source_languages: tuple[str, ...],
) -> mlp.Pairs:
    """Weighted mean word vectors of the source tokens (words of the source languages) and their scaled rows of F."""
    evidence = word_evidence(matches, surfaces, vectors, weighted=True, languages=source_languages)
    inputs, known = token_vectors(evidence, vectors.vectors)
    own = vectors.of_languages(source_languages)
    targets = factors.coordinates[known] * factors.singular_values / _target_scale(factors)
    foreign = vectors.vectors[~own & (vectors.sentences >= settings.neighbour_min_sentences)]
    if not len(foreign):
        foreign = vectors.vectors
    neighbours = mlp.nearest_foreign(inputs[known], foreign, settings.neighbours)
    return mlp.Pairs(inputs[known], targets.astype(np.float32), neighbours, foreign)


@dataclass(frozen=True, slots=True)
class BiLSTMPredictor:
    """Predicts coordinates from sets of matched words."""

    network: bilstm.BiLSTM
    settings: BiLSTMHypernetwork
    vectors: Floats
    device: torch.device

    def __call__(self, matches: csr_matrix, tokens: Integers) -> Floats:
        return bilstm.predict(self.network, self.settings, WordSets.of(matches, tokens), self.vectors, self.device)


@dataclass(frozen=True, slots=True)
class MLPPredictor:
    """Predicts coordinates from weighted mean word vectors; `unscale` turns the networks' output into rows of F."""

    networks: list[mlp.SkipMLP]
    unscale: Floats
    vectors: Floats
    device: torch.device

    def __call__(self, matches: csr_matrix, tokens: Integers) -> Floats:
        inputs, _ = token_vectors(matches[tokens], self.vectors)
        return mlp.predict(self.networks, inputs, self.device) * self.unscale


def load_predictor(path: Path, vectors: Floats, device: torch.device) -> BiLSTMPredictor | MLPPredictor:
    """Load a network that `write_hypernetwork` wrote.

    Raises:
        ArtifactError: the file is damaged, or the network was trained on vectors of another width.
    """
    tensors = {name: torch.from_numpy(value) for name, value in read_tensors(path, STAGE).items()}
    settings = parse(HypernetworkSettings, read_provenance(path)["parameters"]["settings"], where=str(path))
    if isinstance(settings, BiLSTMHypernetwork):
        width, rank = tensors["onward.0.weight_ih_l0"].shape[1], tensors["head.3.weight"].shape[0]
        _check_width(width, vectors, path)
        network = bilstm.BiLSTM(width, rank, settings)
        network.load_state_dict(tensors)
        return BiLSTMPredictor(network, settings, vectors, device)
    scale, singular = tensors.pop("scale"), tensors.pop("singular_values")
    networks = []
    for index in range(settings.networks):
        state = {name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{index}.")}
        width, rank = state["skip.weight"].shape[1], state["skip.weight"].shape[0]
        _check_width(width, vectors, path)
        member = mlp.SkipMLP(width, rank, settings)
        member.load_state_dict(state)
        networks.append(member.to(device))
    return MLPPredictor(networks, (scale / singular).numpy(), vectors, device)


def _check_width(width: int, vectors: Floats, path: Path) -> None:
    if vectors.shape[1] != width:
        raise ArtifactError(
            f"the network reads word vectors of width {width}, these have {vectors.shape[1]}",
            where=path,
            hint="train the hypernetwork on the same word vectors that it predicts from",
        )


def _target_scale(factors: Factors) -> float:
    return float(np.mean(np.abs(factors.coordinates * factors.singular_values), dtype=np.float64))


def _state(network: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def _report(histories: list[History]) -> None:
    for history in histories:
        kept = history.kept_epoch()
        for row in history.table().filter(pl.col("epoch") == kept, pl.col("split") != "train").iter_rows(named=True):
            measured = ", ".join(f"{name} {row[name]:.4f}" for name in ("loss", "contrastive", "l1", "cosine"))
            log.info("network %d, kept epoch %d, %s: %s", history.network + 1, kept, row["split"], measured)
