"""Sentence retrieval across languages (SR-B, SR-T; HyperOFA section 5.1 after Glot500, arXiv 2305.12182).

A sentence's vector is the mean over all its tokens, special ones included, of the output of one layer. The index holds the
target language's sentences; the English sentence is the query; a hit is the right sentence among the top k by cosine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, identity, read_table
from lexigraft.devices import device_for
from lexigraft.errors import InputError, nearest
from lexigraft.evaluation.reuse import digest_of, reusable_rows, write_reusable
from lexigraft.evaluation.sentences import budget_batches
from lexigraft.evaluation.tasks.retrieval import STAGE, RetrievalTask
from lexigraft.modeling.encoder import stopped_after, usable_positions
from lexigraft.modeling.load import load_model
from lexigraft.progress import progress
from lexigraft.tokenizers.load import load_tokenizer

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
SCHEMA = pl.Schema(
    {"language": pl.String, "variant": pl.String, "query_id": pl.String, "rank": pl.Int32, "made_from": pl.String}
)
"""Rank of the right sentence of every query, null where it is not looked for that far.

`variant` is empty for the task's layer and direction, else it names what is other, such as `layer_6`, `back`, `layer_6_back`.
`made_from` is a digest of all that a language's rows follow from."""
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 16384}  # on a CPU what fits its caches is fastest
_MOST_ON_GPU = 2048  # neighbors that FAISS finds at once there


def write_ranks(
    task: RetrievalTask, *, sentences: Path, model_folder: Path, path: Path, threads: int, gpus: int, provenance: Provenance
) -> None:
    """Rank the right sentence for every query of every language and write `SCHEMA`; rows that are still right are reused.

    Raises:
        InputError: a language has no test sentence or none with a query, or the model has fewer layers than are asked for.
        ArtifactError: sentences or model are damaged.
    """
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    device = device_for(gpus)
    table = read_table(sentences, "corpus", ["language", "sentence_id", "text"])
    languages = check_languages(task, table["language"].unique(maintain_order=True).to_list(), sentences)
    check_queries(task.query_language, languages, table, sentences)
    keys = _digests(task, table, languages, model_folder, provenance)
    rows = reusable_rows(path, STAGE, SCHEMA, keys)
    wanted = [language for language in languages if language not in rows]
    log.info("%d languages to search on %s, %d reused", len(wanted), device, len(rows))
    if wanted:
        model: Any = load_model(model_folder)
        layers = layers_to_read(model.config.num_hidden_layers, task)
        encoder = SentenceEncoder(model.to(device), load_tokenizer(model_folder), layers, task.max_length, device)
        encoder.special_tokens = task.special_tokens
        log.info("layer %s", ", ".join(map(str, layers)))
        queries, vectors = encoded_queries(encoder, table, task.query_language, wanted)
        for language in wanted:
            index = table.filter(pl.col("language") == language)
            ranks = ranks_of(task, encoder, queries, vectors, index)
            made_from = pl.lit(keys[language]).alias("made_from")
            rows[language] = ranks.select(pl.lit(language).alias("language"), pl.all(), made_from).cast(SCHEMA)
            count = ranks.filter(pl.col("variant") == "").height
            repeated = len(index) - index["text"].n_unique()
            note = f", {repeated} of them repeat another" if repeated else ""
            log.info("%s: %d queries among %d sentences%s", language, count, len(index), note)
    write_reusable(path, pl.concat([rows[language] for language in languages]), provenance)


def ranks_of(
    task: RetrievalTask, encoder: SentenceEncoder, queries: pl.DataFrame, query_vectors: Floats, index: pl.DataFrame
) -> pl.DataFrame:
    """Ranks in one language, in every layer and direction of the task.

    Args:
        task: directions, and how far ranks count.
        encoder: of the layers to search in.
        queries, query_vectors: what `encoded_queries` returned.
        index: sentence_id, text of the language's sentences.

    Returns:
        variant, query_id, rank (null beyond what counts).
    """
    keys = encoder.encode_layers(index["text"].to_list(), index["language"][0])
    pairs = queries.join(index.with_row_index("key"), on="sentence_id", maintain_order="left")
    asking, right = pairs["vector"].to_numpy(), pairs["key"].to_numpy().astype(np.int64)
    # of queries that are the same sentence one is searched for
    answers, place = np.unique(asking, return_inverse=True)
    found = []
    for at, layer in enumerate(encoder.layers):
        named = [f"layer_{layer}"] if at else []
        directions = {"": (query_vectors[at][asking], keys[at], right)}
        if task.directions == "both":
            directions["back"] = keys[at][right], query_vectors[at][answers], place
        for direction, (ours, theirs, target) in directions.items():
            furthest = len(theirs) if task.mean_reciprocal_rank else max(task.top_k)
            ranks = pl.Series("rank", rank_of(ours, theirs, target, furthest, gpu=encoder.device.type == "cuda"))
            variant = "_".join([*named, direction] if direction else named)
            found.append(pairs.select(pl.lit(variant).alias("variant"), pl.col("sentence_id").alias("query_id"), ranks))
    return pl.concat(found).with_columns(pl.col("rank").replace(0, None))


def encoded_queries(
    encoder: SentenceEncoder, table: pl.DataFrame, language: str, targets: Sequence[str]
) -> tuple[pl.DataFrame, Floats]:
    """Queries that some target language answers, each distinct sentence encoded once.

    Returns:
        sentence_id, vector (the row of its vector); and the vectors, (layers, distinct sentences, D) float32.
    """
    wanted = table.filter(pl.col("language").is_in(list(targets)))["sentence_id"].unique()
    queries = table.filter(pl.col("language") == language, pl.col("sentence_id").is_in(wanted.implode()))
    texts = queries.select(pl.col("text").unique(maintain_order=True)).with_row_index("vector")
    vectors = encoder.encode_layers(texts["text"].to_list(), language)
    return queries.join(texts, on="text", maintain_order="left").select("sentence_id", "vector"), vectors


def _digests(
    task: RetrievalTask, table: pl.DataFrame, languages: Sequence[str], model_folder: Path, provenance: Provenance
) -> dict[str, str]:
    """What each language's ranks follow from."""
    same = (
        task.model_dump(mode="json", exclude={"languages", "pretrained_languages", "corpus"}),
        *(identity(model_folder / name) for name in ("model.safetensors", "tokenizer.json")),
        *(provenance.code, provenance.lock),
    )
    found = {}
    for language in languages:
        index = table.filter(pl.col("language") == language).select("sentence_id", "text")
        asked = table.filter(
            pl.col("language") == task.query_language, pl.col("sentence_id").is_in(index["sentence_id"].implode())
        )
        found[language] = digest_of(*same, index.rows(), asked.select("sentence_id", "text").rows())
    return found


def check_languages(task: RetrievalTask, present: Sequence[str], where: object) -> list[str]:
    """Languages to score; raise InputError for one that the sentences do not have."""
    wanted = task.languages or [language for language in present if language != task.query_language]
    for language in [task.query_language, *wanted]:
        if language not in present:
            raise InputError(f"no test sentence in {language!r}; {nearest(language, present)}", where=where)
    return list(wanted)


def check_queries(query_language: str, languages: Sequence[str], table: pl.DataFrame, where: object) -> None:
    """Raise InputError for languages none of whose sentences has a query: nothing could be scored."""
    asked = table.filter(pl.col("language") == query_language)["sentence_id"]
    answered = set(table.filter(pl.col("sentence_id").is_in(asked.implode()))["language"])
    if without := [language for language in languages if language not in answered]:
        raise InputError(
            f"no sentence of {', '.join(without)} has the id of a sentence of {query_language}: nothing to look for",
            where=where,
            hint="give both sides of a pair one id (of files of bare sentences it is the line), or leave the language out",
        )


def rank_of(queries: Floats, keys: Floats, right: NDArray[np.int64], top_k: int, *, gpu: bool = False) -> NDArray[np.int32]:
    """Rank (from 1) of the right key of each query by cosine, 0 where it is not among the first `top_k`.

    Args:
        queries: (N, D); keys: (M, D); right: (N,) index of the right key.
        top_k: how far ranks count.
        gpu: search on the GPU where this FAISS can, which it cannot among more than 2,048 neighbors.
    """
    nearest_of, count = (_unit(queries), _unit(keys)), min(top_k, len(keys))
    if gpu and count <= _MOST_ON_GPU and hasattr(faiss, "StandardGpuResources"):
        _, found = faiss.knn_gpu(_gpu_resources(), *nearest_of, count, metric=faiss.METRIC_INNER_PRODUCT)
    else:
        _, found = faiss.knn(*nearest_of, count, metric=faiss.METRIC_INNER_PRODUCT)
    hits = found == right[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int32)


@cache
def _gpu_resources() -> Any:
    return faiss.StandardGpuResources()


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


def layers_to_read(layers: int, task: RetrievalTask) -> tuple[int, ...]:
    """The task's layer, then its further ones in rising order; see `layer_to_read`."""
    first = layer_to_read(layers, task.layer)
    further = range(1, layers + 1) if task.layers == "all" else [layer_to_read(layers, layer) for layer in task.layers]
    return (first, *sorted({*further} - {first}))


class SentenceEncoder:
    """Mean-pooled sentence vectors from layers of a masked language model; layers behind the last of them are never run.

    Attributes:
        layers: that are read, the one of `encode` first.
        special_tokens: whether special tokens count in the mean.
    """

    special_tokens = True

    def __init__(self, model: Any, tokenizer: Any, layers: Sequence[int], max_length: int, device: torch.device) -> None:
        self.tokenizer, self.device = tokenizer, device
        self.layers = tuple(layers)
        self.encoder = stopped_after(model.eval(), max(self.layers))
        self.max_length = min(max_length, usable_positions(model.config))

    def encode(self, texts: list[str], what: str) -> Floats:
        """Sentence vectors (len(texts), D) float32 of the first layer."""
        vectors: Floats = self.encode_layers(texts, what)[0]
        return vectors

    @torch.inference_mode()
    def encode_layers(self, texts: list[str], what: str) -> Floats:
        """Sentence vectors (layers, len(texts), D) float32. Batches hold sentences of similar length, up to a token budget.

        A text without any token that counts has the vector 0. What the model is too short for is cut, and counted in the log.
        """
        encodings = self.tokenizer(
            texts, truncation=True, max_length=self.max_length, return_attention_mask=False, return_special_tokens_mask=True
        )
        if cut := sum(bool(encoding.overflowing) for encoding in encodings.encodings):
            log.info("%s: %d of %d sentences are cut to %d tokens", what, cut, len(texts), self.max_length)
        lengths = np.array([len(ids) for ids in encodings["input_ids"]])
        vectors = np.empty((len(self.layers), len(texts), self.encoder.config.hidden_size), dtype=np.float32)
        batches = budget_batches(lengths, _TOKENS_PER_BATCH[self.device.type])
        for batch in progress(batches, len(batches), f"encoding {what}", "batches"):
            width = int(lengths[batch].max())
            ids = torch.full((len(batch), width), self.tokenizer.pad_token_id)
            counts = torch.zeros((len(batch), width), dtype=torch.bool)
            for row, item in enumerate(batch):
                ids[row, : lengths[item]] = torch.tensor(encodings["input_ids"][item])
                special = torch.tensor(encodings["special_tokens_mask"][item], dtype=torch.bool)
                counts[row, : lengths[item]] = True if self.special_tokens else ~special
            mask = torch.arange(width)[None, :] < torch.from_numpy(lengths[batch])[:, None]
            ids, mask, counts = ids.to(self.device), mask.to(self.device), counts.to(self.device)
            for at, hidden in enumerate(self._hidden(ids, mask.long())):
                mean = (hidden * counts[:, :, None]).sum(dim=1) / counts.sum(dim=1, keepdim=True).clamp(min=1)
                vectors[at, batch] = mean.float().cpu().numpy()
        return vectors

    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        if len(self.layers) == 1:
            return [self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state]
        states = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return [states[layer] for layer in self.layers]
