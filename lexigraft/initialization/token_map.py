"""The token map stage: a method and its evidence to a map of a pair of vocabularies."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft.artifacts import Provenance
from lexigraft.errors import ArtifactError
from lexigraft.evidence.base import EvidenceSet, TokenPair
from lexigraft.initializers import read_method
from lexigraft.initializers.parts.base import Initializer
from lexigraft.token_maps.token_map import ORIGINS, TokenMap, write_token_map

log = logging.getLogger(__name__)


def build_token_map(
    method: Mapping[str, Any],
    files: Mapping[str, Path],
    path: Path,
    *,
    source_languages: tuple[str, ...],
    provenance: Provenance,
) -> None:
    """Make a method's token map and write it.

    Args:
        method: an initializer's name and options, as in the configuration.
        files: `source_vocabulary` and `target_vocabulary`, and the files of the evidence that the method needs.
        path: of the map.
        source_languages: languages that the source model was pretrained on.
        provenance: its seed is that of everything random.
    """
    initializer = read_method(method)
    tokens = TokenPair.read(files["source_vocabulary"], files["target_vocabulary"], source_languages)
    evidence = EvidenceSet.read(initializer.needs, files, tokens)
    write_token_map(path, checked_map(initializer, tokens, evidence, provenance.seed or 0), provenance)


def checked_map(method: Initializer, tokens: TokenPair, evidence: EvidenceSet, seed: int) -> TokenMap:
    """Run a method and check its map: shape, finite weights, an origin for every token.

    Raises:
        ArtifactError: the map has the wrong shape, or weights that are not finite.
    """
    found = method.token_map(tokens, evidence, seed)
    expected = (len(tokens.target), len(tokens.source))
    if found.weights.shape != expected or len(found) != expected[0] or not np.isfinite(found.weights.data).all():
        shape = found.weights.shape
        raise ArtifactError(f"{type(method).__name__} returned a map of shape {shape}, expected finite weights of {expected}")
    counts = found.counts()
    log.info("of %d tokens: %s", len(found), ", ".join(f"{counts[origin]} {origin}" for origin in ORIGINS))
    log.info("%d weights, %.1f per token that has any", found.weights.nnz, found.weights.nnz / max((~found.is_empty).sum(), 1))
    return found
