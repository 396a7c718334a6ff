"""Small pairs of word sets and rows that a network can learn, in memory and as the artifacts of a source model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lexigraft.artifacts import Provenance, write_table, write_tensors
from lexigraft.hypernetwork.build import HypernetworkInputs, HypernetworkOutputs, write_hypernetwork
from lexigraft.hypernetwork.sets import WordSets
from lexigraft.hypernetwork.settings import HypernetworkSettings
from lexigraft.hypernetwork.split import split_pairs
from lexigraft.hypernetwork.train import SetPairs
from lexigraft.word_vectors.table import WordVectors, write_word_vectors

TOKENS, WORDS, WIDTH, RANK = 120, 150, 12, 8
OUTPUTS = ("network.safetensors", "history.parquet", "quality.parquet")


def word_vectors() -> WordVectors:
    """150 words, every other one English, seen in 1 to 150 sentences."""
    vectors = np.random.default_rng(5).standard_normal((WORDS, WIDTH)).astype(np.float32)
    languages = pl.Series(["eng", "tur"] * (WORDS // 2))
    words = pl.Series([f"w{'o' * (index % 7)}{index}" for index in range(WORDS)])
    return WordVectors(languages, words, np.arange(1, WORDS + 1), vectors)


def matched(tokens: int = TOKENS) -> pl.DataFrame:
    """Each token's matches: 1 to 8 words, in 1 to 3 variants each."""
    rng = np.random.default_rng(6)
    parts = []
    for token in range(tokens):
        found = np.sort(rng.choice(WORDS, rng.integers(1, 9), replace=False))
        parts.append(pl.DataFrame({"token": [token] * len(found), "word": found, "count": rng.integers(1, 4, len(found))}))
    return pl.concat(parts).cast({"token": pl.Int32, "word": pl.Int32, "count": pl.UInt8})


def rows_of(table: pl.DataFrame, vectors: np.ndarray, rank: int = RANK) -> np.ndarray:
    """(tokens, rank) rows that are a linear map of the mean of a token's word vectors."""
    means = [vectors[part["word"].to_numpy()].mean(axis=0) for _, part in table.group_by("token", maintain_order=True)]
    return (np.stack(means) @ np.random.default_rng(7).standard_normal((WIDTH, rank)) / 50).astype(np.float32)


def set_pairs(tokens: int = TOKENS) -> SetPairs:
    """The same as pairs in memory, a tenth each for validation and test."""
    table, vectors = matched(tokens), word_vectors().vectors
    starts = np.concatenate([[0], np.cumsum(table.group_by("token", maintain_order=True).len()["len"].to_numpy())])
    sets = WordSets(starts.astype(np.int64), table["word"].to_numpy().astype(np.int64))
    return SetPairs(sets, rows_of(table, vectors), vectors, split_pairs(tokens, 0.1, 0.1, 42))


def write_inputs(folder: Path, coordinates: np.ndarray | None = None) -> HypernetworkInputs:
    """Write the artifacts that a hypernetwork is trained from."""
    table, words = matched(), word_vectors()
    rows = rows_of(table, words.vectors) if coordinates is None else coordinates
    paths = HypernetworkInputs(
        table=folder / "factors.safetensors",
        matches=folder / "matches.parquet",
        vocabulary=folder / "vocabulary.parquet",
        words=folder / "words.parquet",
        vectors=folder / "vectors.safetensors",
    )
    write_table(paths.matches, table, Provenance("matches"))
    surfaces = [f" t{'k' * (index % 5)}{index}" for index in range(TOKENS)]
    columns = {"id": range(TOKENS), "token": surfaces, "surface": surfaces, "role": [None] * TOKENS, "count": [0] * TOKENS}
    write_table(paths.vocabulary, pl.DataFrame(columns).cast({"id": pl.Int32, "role": pl.String}), Provenance("source"))
    full = coordinates is not None
    singular = np.ones(rows.shape[1]) if full else np.arange(rows.shape[1], 0, -1)
    factors = {
        "coordinates": rows,
        "primitives": np.eye(rows.shape[1], dtype=np.float32),
        "singular_values": singular.astype(np.float32),
    }
    write_tensors(paths.table, factors, Provenance("factors"))
    write_word_vectors(words, paths.words, paths.vectors, Provenance("word_vectors"))
    return paths


def build(
    settings: HypernetworkSettings,
    inputs: HypernetworkInputs,
    folder: Path,
    seed: int = 1,
    name: str = "net",
    parameters: Mapping[str, Any] = {},
) -> Path:
    """Run the stage into `folder` and return the network's path."""
    write_hypernetwork(
        settings,
        inputs,
        HypernetworkOutputs(*(folder / output for output in OUTPUTS)),
        name=name,
        source="small",
        source_languages=("eng_Latn",),
        threads=1,
        gpus=0,
        provenance=Provenance("hypernetwork", parameters, seed=seed),
    )
    return folder / OUTPUTS[0]
