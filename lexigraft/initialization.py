"""The initialisation stage: a method's rows for the target vocabulary, assembled into a model folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lexigraft.errors import ArtifactError
from lexigraft.factorization import Factors, read_factors
from lexigraft.initializers.base import ORIGINS, Initialization, Initializer, Predictor, View
from lexigraft.matching import read_matches
from lexigraft.tokenizers.vocabulary import read_vocabulary
from lexigraft.word_vectors.table import read_word_vectors

if TYPE_CHECKING:
    from lexigraft.artifacts import Provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InitializationInputs:
    """Files that the stage reads (see docs/artifacts.md)."""

    factors: Path
    source_vocabulary: Path
    target_vocabulary: Path
    source_matches: Path
    target_matches: Path
    words: Path
    vectors: Path
    hypernetwork: Path | None = None


def read_view(inputs: InitializationInputs, source_languages: tuple[str, ...], seed: int, gpus: int) -> tuple[View, Factors]:
    """Load everything that an initialiser looks at."""
    factors = read_factors(inputs.factors)
    source, target = read_vocabulary(inputs.source_vocabulary), read_vocabulary(inputs.target_vocabulary)
    vectors = read_word_vectors(inputs.words, inputs.vectors)
    if len(source) != len(factors.coordinates):
        raise ArtifactError(
            f"{len(source)} source tokens but {len(factors.coordinates)} rows of F",
            where=f"{inputs.source_vocabulary}, {inputs.factors}",
            hint="delete both and run snakemake again",
        )
    predictor: Predictor | None = None
    if inputs.hypernetwork is not None:
        import torch

        from lexigraft.hypernetwork.build import load_predictor

        predictor = load_predictor(inputs.hypernetwork, vectors.vectors, torch.device("cuda" if gpus else "cpu"))
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
    """Run a method and check what it returns: every row finite, every token accounted for."""
    result = method.initialize(view)
    expected = (len(view.target), view.coordinates.shape[1])
    if result.coordinates.shape != expected or not np.isfinite(result.coordinates).all():
        raise ArtifactError(f"{type(method).__name__} returned rows of shape {result.coordinates.shape}, or not finite ones")
    counts = result.counts()
    log.info("of %d tokens: %s", len(view.target), ", ".join(f"{counts[origin]} {origin}" for origin in ORIGINS))
    return result


def write_initialized_model(
    method: Initializer,
    inputs: InitializationInputs,
    *,
    source_folder: Path,
    tokenizer_folder: Path,
    folder: Path,
    source_languages: tuple[str, ...],
    card: Mapping[str, object],
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Initialise the target vocabulary and write the model folder: weights, configuration, tokenizer, card and token table."""
    import torch

    from lexigraft.modeling.assembling import assemble, write_model_folder

    torch.set_num_threads(threads)
    view, factors = read_view(inputs, source_languages, seed, gpus)
    initialization = initialize(method, view)
    model = assemble(source_folder, factors.primitives, initialization, view.target)
    write_model_folder(model, tokenizer_folder, folder, initialization, view.target, dict(card), provenance)
