"""Which source tokens are nearest to rows of the target vocabulary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexigraft.factors.tables import EmbeddingTable

Floats = NDArray[np.float64]
_BLOCK_ROWS = 8192


def nearest_tokens(
    rows: NDArray[np.floating], table: EmbeddingTable, candidates: NDArray[np.int64], mean: Floats, count: int = 3
) -> tuple[NDArray[np.int64], Floats]:
    """Ids and cosines (m, count) of the source tokens whose embeddings are most similar to `rows`, falling.

    The mean is taken off both: most models' embeddings share a large common direction. E = F P is made in blocks of rows only.

    Args:
        rows: (m, D) embeddings.
        table: of the source model.
        candidates: ids of the source tokens to look at.
        mean: (D,) mean source embedding.
    """
    wanted = unit(rows - mean)
    count = min(count, len(candidates))
    ids, cosines = np.zeros((len(rows), 0), dtype=np.int64), np.zeros((len(rows), 0))
    for start in range(0, len(candidates), _BLOCK_ROWS):
        block = candidates[start : start + _BLOCK_ROWS]
        cosine = wanted @ unit(table.embeddings(block) - mean).T
        best = np.argpartition(-cosine, min(count, cosine.shape[1] - 1), axis=1)[:, :count]
        ids = np.concatenate([ids, block[best]], axis=1)
        cosines = np.concatenate([cosines, np.take_along_axis(cosine, best, 1)], axis=1)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(cosines, order, 1)


def unit(rows: NDArray[np.floating]) -> Floats:
    """Rows scaled to length 1, float64; rows of zeros stay."""
    rows = rows.astype(np.float64)
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled
