"""A masked-language-modeling head for source models that have none, of a shape that plain transformers can hold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexigraft.modeling.families.family import Family

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]

OFFSET = 6.0
"""Bias before the GELU. Hidden states of MiniLM lie between -2.6 and 3.7, and GELU(z) = z to 2e-3 for z > 3.4; LayerNorm takes
the constant away again, so the transform is the identity up to LayerNorm. Larger offsets would cost precision in bfloat16."""
SCALE = 0.5
"""Weight of the transform's LayerNorm. MiniLM on English verses, 200 steps of 8 x 64 tokens at 5e-5, held-out loss before and
after (unigrams: 6.09): 0.1 6.03 5.70; 0.5 5.94 4.94; 1 6.28 4.74; 2 8.84 4.91; without offset 0.5 5.95 4.99. Of these 0.5
starts below the unigrams and kept the sentence retrieval of the encoder as it was, 1 lost two points of it."""


def log_unigram(counts: NDArray[np.int64]) -> Floats:
    """(V,) log-probabilities of tokens from how often each occurs, add-one smoothed."""
    smoothed = counts.astype(np.float64) + 1.0
    logs: Floats = np.log(smoothed / smoothed.sum()).astype(np.float32)
    return logs


def added_head(family: Family, config: Any, counts: NDArray[np.int64]) -> dict[str, Floats]:
    """Weights of a head that predicts by unigram frequency and, weakly, by the similarity of hidden state and embedding.

    dense = I and a constant bias -> GELU, linear there -> LayerNorm with weight `SCALE` -> tied decoder + log-unigram bias. The
    encoder must be trained with it: with a frozen encoder such a head does not recover.

    Args:
        family: names the weights.
        config: of the model that is made, with the options `family.added_head_options`.
        counts: (V,) occurrences of the target tokens in the corpus.

    Returns:
        name in the masked language model -> float32 array, for the whole head but its tied tables.
    """
    log.info(
        "the source model has no masked-language-modeling head: added one (transform at the identity with offset %g, "
        "LayerNorm weight %g, log-unigram output bias from %d counted tokens, tied decoder); train it with the encoder",
        OFFSET,
        SCALE,
        int(counts.sum()),
    )
    width, bias = config.hidden_size, family.output_bias(vars(config))
    weights = {
        f"{family.head_dense}.weight": np.eye(width, dtype=np.float32),
        f"{family.head_dense}.bias": np.full(width, OFFSET, dtype=np.float32),
        f"{family.head_norm}.weight": np.full(width, SCALE, dtype=np.float32),
    }
    if family.norm_bias_key is None or getattr(config, family.norm_bias_key):
        weights[f"{family.head_norm}.bias"] = np.zeros(width, dtype=np.float32)
    return weights if bias is None else weights | {bias: log_unigram(counts)}
