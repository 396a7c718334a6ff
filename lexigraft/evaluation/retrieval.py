"""Sentence retrieval across languages (SR-B, SR-T; HyperOFA section 5.1 after Glot500, arXiv 2305.12182).

A sentence's vector is the mean over all its tokens, special ones included, of the output of one layer. The index holds the
target language's sentences; the English sentence is the query; a hit is the right sentence among the top k by cosine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import InputError, nearest
from lexigraft.evaluation.sentences import budget_batches
from lexigraft.evaluation.settings import RetrievalTask
from lexigraft.modeling.encoder import stopped_after, usable_positions
from lexigraft.modeling.load import load_model
from lexigraft.progress import progress
from lexigraft.tokenizers.load import load_tokenizer

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
SCHEMA = pl.Schema({"language": pl.String, "query_id": pl.String, "rank": pl.Int32})
_TOKENS_PER_BATCH = 4096


def write_ranks(
    task: RetrievalTask, *, sentences: Path, model_folder: Path, path: Path, threads: int, gpus: int, provenance: Provenance
) -> None:
    """Rank the right sentence for every query of every language and write language, query_id, rank."""
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    device = torch.device("cuda" if gpus else "cpu")
    table = read_table(sentences, "corpus", ["language", "sentence_id", "text"])
    languages = check_languages(task, table["language"].unique(maintain_order=True).to_list(), sentences)
    tokenizer = load_tokenizer(model_folder)
    model: Any = load_model(model_folder)
    encoder = SentenceEncoder(model.to(device), tokenizer, task.layer, task.max_length, device)
    log.info("retrieval in %d languages on %s, layer %d", len(languages), device, encoder.layer)
    queries, query_vectors = encoded_queries(encoder, table, task.query_language, languages)
    ranks = []
    for language in languages:
        index = table.filter(pl.col("language") == language)
        keys = encoder.encode(index["text"].to_list(), language)
        pairs = queries.join(index.with_row_index("key"), on="sentence_id", maintain_order="left")
        right = pairs["key"].to_numpy().astype(np.int64)
        found = rank_of(query_vectors[pairs["vector"].to_numpy()], keys, right, max(task.top_k))
        ranks.append(pl.DataFrame({"language": language, "query_id": pairs["sentence_id"], "rank": pl.Series(found)}))
        log.info("%s: %d queries among %d sentences", language, len(pairs), len(index))
    ranked = pl.concat(ranks).with_columns(pl.col("rank").replace(0, None)).cast(SCHEMA)
    write_table(path, ranked, provenance)


def encoded_queries(
    encoder: SentenceEncoder, table: pl.DataFrame, language: str, targets: Sequence[str]
) -> tuple[pl.DataFrame, Floats]:
    """Queries that some target language answers, each distinct sentence encoded once.

    Returns:
        sentence_id, vector (the row of its vector); and the vectors, (distinct sentences, D) float32.
    """
    wanted = table.filter(pl.col("language").is_in(list(targets)))["sentence_id"].unique()
    queries = table.filter(pl.col("language") == language, pl.col("sentence_id").is_in(wanted.implode()))
    texts = queries.select(pl.col("text").unique(maintain_order=True)).with_row_index("vector")
    vectors = encoder.encode(texts["text"].to_list(), language)
    return queries.join(texts, on="text", maintain_order="left").select("sentence_id", "vector"), vectors


def check_languages(task: RetrievalTask, present: Sequence[str], where: object) -> list[str]:
    """Languages to score; raise InputError for one that the sentences do not have."""
    wanted = task.languages or [language for language in present if language != task.query_language]
    for language in [task.query_language, *wanted]:
        if language not in present:
            raise InputError(f"no test sentence in {language!r}; {nearest(language, present)}", where=where)
    return list(wanted)


def rank_of(queries: Floats, keys: Floats, right: NDArray[np.int64], top_k: int) -> NDArray[np.int32]:
    """Rank (from 1) of the right key of each query by cosine, 0 where it is not among the first `top_k`.

    Args:
        queries: (N, D); keys: (M, D); right: (N,) index of the right key.
    """
    _, found = faiss.knn(_unit(queries), _unit(keys), min(top_k, len(keys)), metric=faiss.METRIC_INNER_PRODUCT)
    hits = found == right[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int32)


def _unit(rows: Floats) -> Floats:
    unit: Floats = np.ascontiguousarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
    return unit


def layer_to_read(layers: int, wanted: int | str) -> int:
    """The layer whose output is read: the given one, or the one nearest to two thirds of the depth (8 of 12, 4 of 6).

    Raises:
        InputError: the model has fewer layers.
    """
    layer = round(layers * 2 / 3) if wanted == "two_thirds" else int(wanted)
    if layer > layers:
        raise InputError(f"layer {layer} asked for, but the model has {layers} layers", hint="use `layer: two_thirds`")
    return layer


class SentenceEncoder:
    """Mean-pooled sentence vectors from one layer of a masked language model; later layers are never run."""

    def __init__(self, model: Any, tokenizer: Any, layer: int | str, max_length: int, device: torch.device) -> None:
        self.tokenizer, self.device = tokenizer, device
        self.layer = layer_to_read(model.config.num_hidden_layers, layer)
        self.encoder = stopped_after(model.eval(), self.layer)
        self.max_length = min(max_length, usable_positions(model.config))

    @torch.inference_mode()
    def encode(self, texts: list[str], what: str) -> Floats:
        """Sentence vectors (len(texts), D) float32. Batches hold sentences of similar length, up to a token budget."""
        encodings = self.tokenizer(texts, truncation=True, max_length=self.max_length, return_attention_mask=False)["input_ids"]
        lengths = np.array([len(ids) for ids in encodings])
        vectors = np.empty((len(texts), self.encoder.config.hidden_size), dtype=np.float32)
        batches = budget_batches(lengths, _TOKENS_PER_BATCH)
        for batch in progress(batches, len(batches), f"encoding {what}", "batches"):
            width = int(lengths[batch].max())
            ids = torch.full((len(batch), width), self.tokenizer.pad_token_id)
            for row, item in enumerate(batch):
                ids[row, : lengths[item]] = torch.tensor(encodings[item])
            mask = torch.arange(width)[None, :] < torch.from_numpy(lengths[batch])[:, None]
            ids, mask = ids.to(self.device), mask.to(self.device)
            hidden = self.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            mean = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            vectors[batch] = mean.float().cpu().numpy()
        return vectors
