"""Prediction of coordinates with a trained hypernetwork, loaded from its artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from lexigraft.artifacts import read_metadata, read_tensors
from lexigraft.errors import ArtifactError
from lexigraft.hypernetwork.networks import SetNetwork, network_of
from lexigraft.hypernetwork.sets import Integers, WordSets, batches_by_length, sample_words, select_words
from lexigraft.hypernetwork.settings import HypernetworkSettings, MLPHypernetwork, SetSettings
from lexigraft.progress import progress
from lexigraft.settings import parse
from lexigraft.word_vectors.similarity import mean_vectors, scaled
from lexigraft.word_vectors.table import WordVectors

if TYPE_CHECKING:
    from lexigraft.hypernetwork.networks.mlp import SkipMLP

STAGE = "hypernetwork"
Floats = NDArray[np.float32]
T = TypeVar("T")
_BATCH_WORDS = 65_536
_MLP_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class SetPredictor:
    """Predicts coordinates from sets of matched words.

    Attributes:
        network: on `device`, in evaluation mode.
        words: the word vectors, of the width that the network reads.
        seed: of the words that are read if a token has too many, and of the draws.
    """

    network: SetNetwork
    settings: SetSettings
    words: WordVectors
    seed: int
    device: torch.device

    def __call__(self, weights: csr_matrix) -> Floats:
        """Rows (tokens, D') float32 for tokens by the weights (tokens, words) of their words; each has a word."""
        sets = WordSets.of(weights, weighted=self.settings.word_weights)
        table = torch.from_numpy(self.words.vectors).to(self.device)
        return predict_sets(self.network, self.settings, sets, table, self.seed, shown=True)


@dataclass(frozen=True, slots=True)
class MLPPredictor:
    """Predicts coordinates from mean word vectors; `unscale` (D',) turns the networks' mean output into rows of F."""

    networks: list[SkipMLP]
    words: WordVectors
    unscale: Floats
    device: torch.device

    def __call__(self, weights: csr_matrix) -> Floats:
        """Rows (tokens, D') float32 for tokens by the weights (tokens, words) of their words; each has a word."""
        inputs, _ = mean_vectors(weights, self.words.vectors)
        return predict_means(self.networks, inputs, self.device) * self.unscale


def load_predictor(path: Path, words: WordVectors, device: torch.device) -> SetPredictor | MLPPredictor:
    """Load `network.safetensors`, as `build.write_hypernetwork` wrote it, and the word vectors that it was trained on.

    Raises:
        ArtifactError: the file is damaged, or the network was trained on word vectors of another width.
    """
    tensors = {name: torch.from_numpy(value) for name, value in read_tensors(path, STAGE).items()}
    metadata = read_metadata(path)
    settings = parse(HypernetworkSettings, metadata["settings"], where=str(path))
    width, rank = metadata["width"], metadata["rank"]
    if words.vectors.shape[1] != width:
        raise ArtifactError(
            f"the network reads word vectors of width {width}, these have {words.vectors.shape[1]}",
            where=path,
            hint="train the hypernetwork on the same word vectors that it predicts from",
        )
    if isinstance(settings, MLPHypernetwork):
        unscale = (tensors.pop("scale") / tensors.pop("singular_values")).numpy()
        members = [network_of(settings, width, rank) for _ in range(settings.networks)]
        for index, member in enumerate(members):
            member.load_state_dict(tensors_below(f"{index}.", tensors))
        return MLPPredictor([member.to(device).eval() for member in members], words, unscale, device)
    network = network_of(settings, width, rank)
    network.load_state_dict(tensors)
    return SetPredictor(network.to(device).eval(), settings, words, metadata["seed"], device)


def tensors_below(prefix: str, tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def predict_sets(
    network: SetNetwork, settings: SetSettings, sets: WordSets, table: Tensor, seed: int, *, shown: bool = False
) -> Floats:
    """Coordinates (N, D') float32 of N sets, in float32 whatever the training was in.

    With several `prediction_draws` the mean over draws. A set whose words are all read is sampled again only for
    networks that read the order of the words.

    Args:
        table: (words, width) word vectors, on the network's device.
        seed: of the words read where there are too many.
        shown: whether to show progress.
    """
    if settings.prediction_draws == 1:
        words = select_words(sets, settings.max_words, settings.word_sampling, len(table), seed)
        return _predict_once(network, words, table, shown)
    total = np.zeros((len(sets), network.rank), dtype=np.float64)
    changing = np.arange(len(sets)) if network.reads_order else np.flatnonzero(sets.lengths > settings.max_words)
    for draw in range(settings.prediction_draws):
        items = changing if draw else np.arange(len(sets))
        if len(items):
            words = sample_words(sets.part(items), settings.max_words, len(table), seed, draw)
            total[items] += _predict_once(network, words, table, shown)
    drawings = np.ones(len(sets))
    drawings[changing] = settings.prediction_draws
    return (total / drawings[:, None]).astype(np.float32)


def _predict_once(network: SetNetwork, sets: WordSets, table: Tensor, shown: bool) -> Floats:
    network.eval()
    rows = np.empty((len(sets), network.rank), dtype=np.float32)
    batches = list(batches_by_length(sets.lengths, _BATCH_WORDS))
    for batch in progress(batches, len(batches), "prediction", "batches") if shown else batches:
        rows[batch] = forward(network, sets, batch, table).cpu().numpy()
    return rows


def forward(network: SetNetwork, sets: WordSets, items: Integers, table: Tensor) -> Tensor:
    """The network's output (len(items), D') for some of the sets."""
    indices, lengths = sets.padded(items)
    rows: Tensor = network(table[torch.from_numpy(indices).to(table.device)], torch.from_numpy(lengths).to(table.device))
    return rows


@torch.no_grad()
def predict_means(networks: list[SkipMLP], inputs: Floats, device: torch.device) -> Floats:
    """Mean prediction (N, D') of several networks for mean word vectors (N, width), in the scale of the networks' targets."""
    rows = [np.empty((0, networks[0].skip.out_features), dtype=np.float32)]
    for first in range(0, len(inputs), _MLP_BLOCK):
        part = torch.from_numpy(scaled(inputs[first : first + _MLP_BLOCK])).to(device)
        rows.append(torch.stack([network.eval()(part) for network in networks]).mean(dim=0).cpu().numpy())
    return np.concatenate(rows)
