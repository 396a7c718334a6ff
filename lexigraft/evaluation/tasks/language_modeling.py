"""Prediction of held-out sentences; `evaluation.language_modeling` computes the likelihoods."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from lexigraft.evaluation.tasks import Metric, Task
from lexigraft.settings import Name

if TYPE_CHECKING:
    import polars as pl

STAGE = "language_modeling"
PERPLEXITIES = {"masked": "masked_perplexity", "pseudo_perplexity": "pseudo_perplexity", "causal": "perplexity"}
"""How sentences were measured -> the metric that is exp of the loss."""


class LanguageModelingTask(Task):
    """How well a model predicts a corpus's held-out sentences, per language; and the fertility of its tokenizer there."""

    note: ClassVar[str] = "bits per byte of held-out sentences"
    shows_fertility: ClassVar[bool] = True

    kind: Literal["language_modeling"]
    corpus: Name
    measure: Literal["masked", "pseudo_perplexity"] = "masked"
    """`masked`: a share of the tokens hidden at once, as in pre-training; `pseudo_perplexity`: every token once, on its own."""
    mask_probability: float = Field(default=0.15, gt=0, lt=1)
    max_sentences: PositiveInt | None = None
    """Read the first so many sentences of each language."""
    max_length: int = Field(default=512, ge=8)
    """Tokens of a sentence that are read; the rest is counted."""

    def headline_metric(self) -> str:
        """Bits per byte, which compare between tokenizers."""
        return "bits_per_byte"

    def read(self, path: Path) -> tuple[pl.DataFrame, dict[str, Metric]]:
        """Read likelihoods: `bits_per_byte`, `loss` (nats per token) and the perplexity by its name."""
        import polars as pl

        from lexigraft.artifacts import read_table

        table = read_table(path, STAGE).rename({"sentence_id": "sentence"})
        return table.with_columns(surprise=-pl.col("log_likelihood")), metrics_of(table["measure"][0])


def metrics_of(measure: str) -> dict[str, Metric]:
    """Metrics by the way in which sentences were measured; all are better when lower.

    Columns are those of the likelihoods, and `surprise`, minus the log-likelihood.
    """
    loss = {"surprise": 1, "scored": -1}
    bits = {**loss, "tokens": 1, "bytes": -1}
    return {
        "bits_per_byte": Metric(bits, "scored", "tokens", scale=1 / math.log(2), lower_is_better=True),
        "loss": Metric(loss, "scored", "tokens", lower_is_better=True),
        PERPLEXITIES[measure]: Metric(loss, "scored", "tokens", exponential=True, lower_is_better=True),
    }
