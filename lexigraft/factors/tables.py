"""Embedding tables as methods, networks and reports see them: E itself, or E ~ F P at some D'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexigraft.artifacts import map_tensors, read_metadata, read_provenance
from lexigraft.errors import ArtifactError

STAGE, MODELS = "factors", ("source", "initialized_model", "pretraining")
INPUT_TABLE, OUTPUT_TABLE = "input_table", "output_table"
"""Keys in the metadata of a model's weights: the names of the tensors that are its input embeddings, E or F and P, and of the
output table where it has one of its own."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """A table with a row per token.

    Attributes:
        rows: (V, n) float32, mapped from its file: the coordinates F of E ~ F P, or E itself where D' is `full`.
        scale: (n,) float32, of a source model: rows * scale are coordinates in an orthonormal basis, so that distances between
            them are those between embeddings. The singular values, or ones where D' is `full`.
        primitives: P, (D', D) float32, orthogonal rows whose norms are the singular values; None where D' is `full`.
    """

    rows: Floats
    scale: Floats
    primitives: Floats | None = None

    @property
    def dim(self) -> int | None:
        """D', None where it is `full`."""
        return None if self.primitives is None else len(self.primitives)

    def embeddings(self, tokens: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """(tokens, D) float64 rows of E, as far as F and P have them."""
        rows = self.rows[tokens].astype(np.float64)
        return rows if self.primitives is None else rows @ self.primitives


def read_embedding_table(path: Path) -> EmbeddingTable:
    """Map the embeddings that a file holds: a factors file's F and P, or those of a model's weights, factorized or not.

    Raises:
        ArtifactError: the file is damaged, made by another stage, or does not name its table.
    """
    if read_provenance(path).get("stage") == STAGE:
        tensors = map_tensors(path, STAGE, ["coordinates", "singular_values", "primitives"])
        return EmbeddingTable(tensors["coordinates"], tensors["singular_values"], tensors["primitives"])
    return _table(path, read_metadata(path).get(INPUT_TABLE, []))


def read_output_table(path: Path) -> EmbeddingTable | None:
    """Map the output table of a source's weights; None where it is tied to the embeddings.

    Raises:
        ArtifactError: the file is damaged, or made by another stage.
    """
    names = read_metadata(path).get(OUTPUT_TABLE)
    return None if names is None else _table(path, names)


def _table(path: Path, names: list[str]) -> EmbeddingTable:
    if len(names) not in (1, 2):
        raise ArtifactError(
            "names no table of embeddings in its metadata", where=path, hint="delete it and run snakemake again"
        )
    rows, *primitives = map_tensors(path, MODELS, names).values()
    return EmbeddingTable(rows, np.ones(rows.shape[1], dtype=np.float32), *primitives)
