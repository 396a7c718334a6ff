"""The initialization stage: a method's rows for the target vocabulary, assembled into a model folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lexigraft.artifacts import Provenance
from lexigraft.devices import device_for
from lexigraft.errors import ArtifactError
from lexigraft.evidence.makers.word_matches import read_matches
from lexigraft.factors.read import Factors, read_factors
from lexigraft.initializers import registry
from lexigraft.initializers.base import ORIGINS, Initialization, Initializer, Predictor, View
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.card import model_card
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.settings import parse
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.word_vectors.table import read_word_vectors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InitializationInputs:
    """Files that the stage reads (see docs/artifacts.md).

    Attributes:
        weights: of the source model, in its folder.
        tokenizer: of the target, in its folder.
        source_vocabulary, target_vocabulary: tables of either.
        factors: of the source model.
        source_matches, target_matches: of either vocabulary with the words.
        words, vectors: the word vectors.
        network: a trained hypernetwork where the method has one, else empty.
    """

    weights: Path
    tokenizer: Path
    source_vocabulary: Path
    target_vocabulary: Path
    factors: Path
    source_matches: Path
    target_matches: Path
    words: Path
    vectors: Path
    network: Sequence[Path] = ()


def write_initialized_model(
    method: Mapping[str, Any],
    inputs: InitializationInputs,
    folder: Path,
    *,
    source_languages: tuple[str, ...],
    card: Mapping[str, Any],
    parity: bool,
    balanced: bool,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Initialize the target vocabulary and write the model folder: weights, configuration, tokenizer, card, token table.

    Args:
        method: an initializer's name and options, as in the configuration.
        inputs: what is read.
        folder: of the model.
        source_languages: languages that the source model was pretrained on.
        card: arguments of `model_card` that say where things come from.
        parity, balanced: see `assemble`.
        threads, gpus: what may be used; without a GPU everything runs on the CPU.
        provenance: its seed is that of everything random.
    """
    torch.set_num_threads(threads)
    initializer = find_initializer(method)
    device = device_for(gpus)
    view, factors = read_view(inputs, source_languages, provenance.seed or 0, device)
    result = initialize(initializer, view)
    primitives = None if factors.is_full else factors.primitives
    model = assemble(inputs.weights.parent, primitives, result, view.target, parity=parity, balanced=balanced)
    text = model_card(
        **card,
        options=initializer.model_dump(mode="json"),
        seed=view.seed,
        base_model=None if ":" in card["source"] or Path(card["source"]).exists() else card["source"],
        dim=None if primitives is None else len(primitives),
        balanced=balanced,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        counts=result.counts(),
    )
    write_model_folder(model, inputs.tokenizer.parent, folder, token_table(view.target, result), text, provenance)


def find_initializer(method: Mapping[str, Any]) -> Initializer:
    """The initializer that the configuration of a method names, with its options."""
    initializer: Initializer = parse(registry()[method["initializer"]], dict(method), where="methods")
    return initializer


def read_view(
    inputs: InitializationInputs, source_languages: tuple[str, ...], seed: int, device: torch.device
) -> tuple[View, Factors]:
    """Load everything that an initializer looks at, and the factors.

    Raises:
        ArtifactError: an artifact is damaged, or two do not belong together.
    """
    factors = read_factors(inputs.factors)
    source = read_vocabulary(inputs.source_vocabulary)
    target = read_vocabulary(inputs.target_vocabulary)
    vectors = read_word_vectors(inputs.words, inputs.vectors)
    if len(source) != len(factors.coordinates):
        raise ArtifactError(
            f"{len(source)} source tokens but {len(factors.coordinates)} rows of F",
            where=f"{inputs.source_vocabulary}, {inputs.factors}",
            hint="delete both and run snakemake again",
        )
    predictor: Predictor | None = None
    if inputs.network:
        from lexigraft.hypernetwork.predict import load_predictor

        predictor = load_predictor(inputs.network[0], vectors, device)
    view = View(
        coordinates=factors.coordinates,
        singular_values=factors.singular_values,
        source=source,
        target=target,
        source_matches=read_matches(inputs.source_matches, len(source), len(vectors)),
        target_matches=read_matches(inputs.target_matches, len(target), len(vectors)),
        vectors=vectors,
        source_languages=source_languages,
        seed=seed,
        hypernetwork=predictor,
    )
    return view, factors


def initialize(method: Initializer, view: View) -> Initialization:
    """Run a method and check what it returns: every row finite, every token accounted for.

    Raises:
        ArtifactError: the rows have the wrong shape or are not finite.
    """
    result = method.initialize(view)
    expected = (len(view.target), view.coordinates.shape[1])
    if result.coordinates.shape != expected or not np.isfinite(result.coordinates).all():
        shape = result.coordinates.shape
        raise ArtifactError(f"{type(method).__name__} returned rows of shape {shape}, expected finite ones of {expected}")
    counts = result.counts()
    log.info("of %d tokens: %s", len(view.target), ", ".join(f"{counts[origin]} {origin}" for origin in ORIGINS))
    return result
