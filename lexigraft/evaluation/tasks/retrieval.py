"""Sentence retrieval; `evaluation.retrieval` ranks the sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from lexigraft.errors import InputError
from lexigraft.evaluation.tasks import Metric, Task
from lexigraft.languages import LanguageCode
from lexigraft.settings import Name

if TYPE_CHECKING:
    import polars as pl

STAGE = "ranks"


class RetrievalTask(Task):
    """Sentence retrieval among a corpus's held-out sentences: the index holds the language's sentences, queries are English."""

    note: ClassVar[str] = "the share of queries whose right sentence is among the k nearest"
    shows_repeats: ClassVar[bool] = True

    kind: Literal["retrieval"]
    corpus: Name
    query_language: LanguageCode = "eng_Latn"
    """The language of the queries, which is not scored by default."""
    layer: PositiveInt | Literal["two_thirds"] = "two_thirds"
    """Layer whose output is averaged: `two_thirds` is the 8th of 12, the 4th of 6."""
    layers: list[PositiveInt] | Literal["all"] = []
    """Further layers to score, in the same pass: their metrics are `top_10_layer_6`, …."""
    directions: Literal["forward", "both"] = "forward"
    """`both` also searches the queries' language with the others' sentences: `top_10_back`, …."""
    mean_reciprocal_rank: bool = False
    """Also the mean of 1 / rank (`mrr`), for which every sentence is ranked, not the nearest few."""
    special_tokens: bool = True
    """Average over special tokens as well, as published."""
    top_k: list[PositiveInt] = Field(default=[1, 5, 10], min_length=1)
    max_length: PositiveInt = 512

    def headline_metric(self) -> str:
        """`top_10`, or the largest k."""
        return f"top_{10 if 10 in self.top_k else max(self.top_k)}"

    def needed_languages(self) -> list[str]:
        """The language of the queries."""
        return [self.query_language]

    def layers_read(self) -> list[int]:
        """Layers that are asked for by number."""
        return [layer for layer in (self.layer, *self.layers) if isinstance(layer, int)]

    def read(self, path: Path) -> tuple[pl.DataFrame, dict[str, Metric]]:
        """Read ranks: `top_<k>` and `mrr` of every query; names of the metrics of a variant end with the variant.

        Raises:
            ArtifactError: the file is missing or damaged.
            InputError: it has no queries, a query twice, or a rank below 1.
        """
        import polars as pl

        values = {f"top_{k}": pl.col("rank") <= k for k in sorted(set(self.top_k))}
        if self.mean_reciprocal_rank:
            values["mrr"] = 1.0 / pl.col("rank")
        ranks = read_ranks(path).rename({"query_id": "sentence"})
        keys = ["language", "sentence"]
        found = ranks.select(keys).unique(maintain_order=True).with_columns(queries=pl.lit(1))
        metrics = {}
        for (variant,), rows in ranks.group_by("variant", maintain_order=True):
            named = {f"{name}_{variant}" if variant else name: value for name, value in values.items()}
            own = rows.select(*keys, *(value.fill_null(0).cast(pl.Float64).alias(name) for name, value in named.items()))
            found = found.join(own, on=keys, how="left", maintain_order="left")
            for name in named:
                metrics[name] = Metric({name: 1, "queries": -1}, size="queries", unit="queries", scale=100.0)
        return found, metrics


def read_ranks(path: Path) -> pl.DataFrame:
    """Read a ranks artifact: language, variant, query_id, rank (from 1, null beyond what was looked for).

    Raises:
        ArtifactError: it is missing or damaged.
        InputError: it has no queries, a query twice, or a rank below 1.
    """
    import polars as pl

    from lexigraft.artifacts import read_table

    table = read_table(path, STAGE, ["language", "variant", "query_id", "rank"])
    if table.is_empty():
        raise InputError("no queries were ranked", where=path, hint="the task's corpus has no held-out sentences to search")
    repeated = table.filter(table.select("language", "variant", "query_id").is_duplicated())
    if not repeated.is_empty():
        raise InputError(f"query {repeated['query_id'][0]!r} of {repeated['language'][0]} is there twice", where=path)
    lowest = table.select(pl.col("rank").min()).item()
    if lowest is not None and lowest < 1:
        raise InputError(f"rank {lowest} is below 1", where=path, hint="ranks count from 1")
    return table
