"""How well rows of held-out source tokens are predicted: by a hypernetwork, and by OFA from the same words.

Both see the same words of each token with the same weights, and learn from the same tokens: the network was trained on those
of the training split, OFA combines their rows. So the two methods can be compared before a model is initialized.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lexigraft.hypernetwork.evidence import Predictor
from lexigraft.hypernetwork.split import Split
from lexigraft.word_vectors.similarity import mean_vectors, similar_weights

Floats = NDArray[np.float32]

SCHEMA = pl.Schema(
    {
        "method": pl.String,
        "source": pl.String,
        "dim": pl.Int32,
        "seed": pl.Int64,
        "split": pl.String,
        "tokens": pl.Int64,
        "cosine": pl.Float64,
        "l1": pl.Float64,
    }
)
OFA = "ofa"
OFA_TOP_K = 10
OFA_TEMPERATURE = 0.1


def quality_table(
    predict: Predictor,
    evidence: csr_matrix,
    targets: Floats,
    vectors: Floats,
    split: Split,
    named: Mapping[str, object],
) -> pl.DataFrame:
    """Mean cosine and normalized L1 of predicted and true rows on the validation and the test split.

    Args:
        predict: the hypernetwork.
        evidence: (N, words) weights of the words of the source tokens that have any.
        targets: (N, D') their rows of F.
        vectors: (words, width).
        split: of the N tokens.
        named: the hypernetwork's name (`method`), `source` and `seed`.

    Returns:
        a table of `SCHEMA`: `cosine` is the mean of cos(prediction, true row), `l1` is mean |F - F_hat| / mean |F|, over all
        rows of a split.
    """
    means, _ = mean_vectors(evidence, vectors)
    rows, all_keys = [], np.ones(len(split.train), bool)
    for name, items in (("validation", split.validation), ("test", split.test)):
        predictions = {
            str(named["method"]): predict(csr_matrix(evidence[items])),
            # docs/methods.md, section 6, with the published k and temperature
            OFA: similar_weights(means[items], means[split.train], all_keys, OFA_TOP_K, OFA_TEMPERATURE) @ targets[split.train],
        }
        for method, predicted in predictions.items():
            cosine, l1 = agreement(predicted, targets[items])
            row = {**named, "method": method, "dim": targets.shape[1], "split": name, "tokens": len(items)}
            rows.append({**row, "cosine": cosine, "l1": l1})
    return pl.DataFrame(rows, schema=SCHEMA)


def agreement(predicted: Floats, true: Floats) -> tuple[float, float]:
    """Mean cosine of rows, and mean |true - predicted| / mean |true|, both in float64."""
    ours, theirs = predicted.astype(np.float64), true.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = np.einsum("nd,nd->n", ours, theirs) / np.maximum(norms, 1e-300)
    return float(cosine.mean()), float(np.abs(theirs - ours).mean() / np.abs(theirs).mean())


def sentence(table: pl.DataFrame) -> str:
    """The table in words, for a log."""
    return "; ".join(
        f"{row['method']} on {row['split']} ({row['tokens']} tokens): cosine {row['cosine']:.4f}, L1 {row['l1']:.4f}"
        for row in table.iter_rows(named=True)
    )
