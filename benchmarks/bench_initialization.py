"""Rows of a target vocabulary of the paper's size: 401,000 tokens, of which 84,000 are computed from 103,000 source tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.harness import Arrays, Case, benchmark, cached, close
from benchmarks.real import recombined, word_vectors
from lexigraft.token_maps.token_map import RANDOM, token_map
from lexigraft.word_vectors.similarity import mean_vectors, most_similar, similar_weights

TOKENS, COMPUTED, SOURCE, RANK = 401_000, 84_000, 103_000, 100
TOP_K, TEMPERATURE = 10, 0.1
_BLOCK = 1024


@benchmark(
    "OFA rows of 84,000 of 401,000 tokens from 103,000",
    plain="float32 cosines in blocks of 1,024 tokens, argpartition, softmax and weighted sum of each block with numpy",
    goal=1.5,
    memory=4.0,
)
def ofa_rows(fraction: float) -> Case:
    sizes = [round(size * fraction) for size in (TOKENS, COMPUTED, SOURCE)]
    file = cached(f"ofa-rows-{sizes[0]}.npz", lambda path: _make_ofa_rows(path, *sizes))
    with np.load(file, allow_pickle=False) as made:
        targets, sources, rows = (made[name] for name in ("targets", "sources", "rows"))
        targets = targets[made["computed"]]

    def plain() -> Arrays:
        keys = sources / np.linalg.norm(sources, axis=1, keepdims=True)
        found, combined = np.empty((len(targets), TOP_K), dtype=np.int64), np.empty((len(targets), RANK), dtype=np.float32)
        for first in range(0, len(targets), _BLOCK):
            part = slice(first, first + _BLOCK)
            cosines = targets[part] / np.linalg.norm(targets[part], axis=1, keepdims=True) @ keys.T
            found[part] = np.argpartition(cosines, -TOP_K, axis=1)[:, -TOP_K:]
            weights = np.exp(np.take_along_axis(cosines, found[part], axis=1) / TEMPERATURE)
            weights /= weights.sum(axis=1, keepdims=True)
            combined[part] = np.einsum("nk,nkd->nd", weights, rows[found[part]])
        return {"found": found, "rows": combined}

    def ours() -> Arrays:
        weights = similar_weights(targets, sources, np.ones(len(sources), dtype=bool), TOP_K, TEMPERATURE)
        none = np.full(len(targets), -1)
        return {"rows": token_map(none, len(sources), RANDOM, np.arange(len(targets)), weights).apply(rows)}

    def same(one: Arrays, other: Arrays) -> str:
        _, found = most_similar(targets, sources, TOP_K)
        different = np.flatnonzero((np.sort(found, axis=1) != np.sort(one["found"], axis=1)).any(axis=1))
        for row in different:
            # allowed only where the tenth and the eleventh are equal to float32
            cosines = [
                np.sort(sources[ids] @ targets[row] / np.linalg.norm(sources[ids], axis=1) / np.linalg.norm(targets[row]))
                for ids in (found[row], one["found"][row])
            ]
            close(*cosines, atol=1e-6)
        alike = np.setdiff1d(np.arange(len(targets)), different)
        difference = close(other["rows"][alike], one["rows"][alike], atol=1e-6)
        return f"top 10 of {len(targets):,} tokens the same but for {len(different)} ties, rows to {difference:.0e}"

    return Case(ours, plain, same)


def _make_ofa_rows(path: Path, tokens: int, computed: int, sources: int) -> None:
    rng = np.random.default_rng(0)
    real = word_vectors().vectors
    chosen = np.zeros(tokens, dtype=bool)
    chosen[rng.choice(tokens, computed, replace=False)] = True
    np.savez(
        path,
        targets=recombined(real, tokens, 1),
        sources=recombined(real, sources, 2),
        rows=(rng.standard_normal((sources, RANK)) / np.sqrt(sources)).astype(np.float32),
        computed=chosen,
    )


@benchmark("vectors of 401,000 tokens, means of their words", plain="scipy's product of sparse matrix and vectors", goal=1.0)
def vectors_of_tokens(fraction: float) -> Case:
    words = word_vectors().vectors
    rng = np.random.default_rng(0)
    # as in the demo: a third of the tokens has no word, half of the others at most three, the mean is about 25
    numbers = np.minimum(rng.zipf(1.75, round(TOKENS * fraction)), 20_000) * (rng.random(round(TOKENS * fraction)) > 0.34)
    starts = np.concatenate([[0], np.cumsum(numbers)])
    counts = rng.integers(1, 4, starts[-1]).astype(np.float32)
    matches = csr_matrix((counts, rng.integers(len(words), size=starts[-1]), starts), shape=(len(numbers), len(words)))
    matches.sum_duplicates()

    def plain() -> Arrays:
        sums = np.asarray(matches.sum(axis=1)).ravel()
        return {"vectors": matches @ words / np.maximum(sums, 1)[:, None]}

    def ours() -> Arrays:
        return {"vectors": mean_vectors(matches, words)[0]}

    return Case(ours, plain, lambda one, other: f"largest difference {close(one['vectors'], other['vectors'], atol=1e-5):.0e}")
