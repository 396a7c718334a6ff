"""Rows of the target vocabulary in a table: the token map applied, gaps filled, a method's dense rows added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import ArtifactError
from lexigraft.initializers.parts.base import Rows
from lexigraft.token_maps.token_map import MEAN, RANDOM, Floats, TokenMap

_BLOCK_ROWS = 1 << 14


def target_rows(found: TokenMap, table: Floats, added: Rows | None, seed: int) -> Floats:
    """Rows (V_t, n) float32 of the target tokens in a table.

    Args:
        found: the token map.
        table: (V_s, n) float32 source rows, which may be mapped from a file.
        added: dense rows of the method.
        seed: of random rows.

    Raises:
        ArtifactError: dense rows do not fit the table, or a row is not finite.
    """
    rows = found.apply(table)
    if (mean := np.flatnonzero(found.origin == MEAN)).size:
        rows[mean] = table.mean(axis=0, dtype=np.float64).astype(np.float32)
    if (drawn := np.flatnonzero(found.origin == RANDOM)).size:
        fill_random(rows, drawn, table, seed)
    if added is not None:
        expected = (len(added.tokens), table.shape[1])
        if added.values.shape != expected:
            raise ArtifactError(f"the method returned dense rows of shape {added.values.shape}, expected {expected}")
        rows[added.tokens] += added.values
    if not np.isfinite(rows).all():
        wrong = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ArtifactError(f"the row of target token {wrong} is not finite", hint="use an undamaged source model")
    return rows


def fill_random(rows: Floats, tokens: NDArray[np.int64], table: Floats, seed: int) -> None:
    """Draw the rows of `tokens`, each dimension from N(mean, std) of the table's column (OFA section 3.3).

    Numbers are drawn for the whole vocabulary, so the row of a token does not depend on which others are drawn.
    """
    rng = np.random.default_rng(seed)
    mean, std = table.mean(axis=0, dtype=np.float64), table.std(axis=0, dtype=np.float64)
    for start in range(0, len(rows), _BLOCK_ROWS):
        drawn = rng.standard_normal((min(_BLOCK_ROWS, len(rows) - start), rows.shape[1]))
        inside = tokens[(tokens >= start) & (tokens < start + len(drawn))]
        rows[inside] = (mean + std * drawn[inside - start]).astype(np.float32)
