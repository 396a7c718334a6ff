"""Rows of a target vocabulary of the paper's size: 401,000 tokens, of which 84,000 are computed from 103,000 source tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.harness import Arrays, Case, benchmark, cached, close
from benchmarks.real import recombined, word_vectors
from lexigraft.initializers.parts.rows import most_similar, similar_combination, token_vectors

TOKENS, COMPUTED, SOURCE, RANK = 401_000, 84_000, 103_000, 100
TOP_K, TEMPERATURE = 10, 0.1
_BLOCK = 1024
_SHOWN = 4


@benchmark(
    "OFA rows of 84,000 of 401,000 tokens from 103,000",
    plain="float64 cosines of all tokens in blocks of 1,024 rows; per token argpartition, softmax and sum (as WECHSEL, OFA)",
    goal=20.0,
    memory=4.0,
)
def ofa_rows(fraction: float) -> Case:
    sizes = [round(size * fraction) for size in (TOKENS, COMPUTED, SOURCE)]
    file = cached(f"ofa-rows-{sizes[0]}.npz", lambda path: _make_ofa_rows(path, *sizes))
    with np.load(file, allow_pickle=False) as made:
        targets, sources, rows, computed = (made[name] for name in ("targets", "sources", "rows", "computed"))
    tokens = np.flatnonzero(computed)
    shown = _SHOWN * _BLOCK

    def plain() -> Arrays:
        keys = sources.astype(np.float64)
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        found = np.empty((shown, TOP_K), dtype=np.int64)
        combined = np.empty((shown, RANK))
        for first in range(0, shown, _BLOCK):
            queries = targets[first : first + _BLOCK].astype(np.float64)
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
            cosines = queries @ keys.T
            for row, similar in enumerate(cosines, start=first):
                best = np.argpartition(similar, -TOP_K)[-TOP_K:]
                weights = np.exp(similar[best] / TEMPERATURE)
                combined[row] = sum(weight * rows[key] for weight, key in zip(weights / weights.sum(), best, strict=True))
                found[row] = best
        return {"found": found, "rows": combined}

    def ours() -> Arrays:
        return {"rows": similar_combination(targets[tokens], sources, rows, TOP_K, TEMPERATURE)}

    def same(one: Arrays, other: Arrays) -> str:
        here = np.flatnonzero(tokens < shown)
        _, found = most_similar(targets[tokens[here]], sources, TOP_K)
        expected = one["found"][tokens[here]]
        different = [row for row in range(len(here)) if set(found[row]) != set(expected[row])]
        for row in different:
            # allowed only where the tenth and the eleventh are equal to float32
            query = targets[tokens[here[row]]].astype(np.float64)
            at = [np.linalg.norm(sources[ids].astype(np.float64), axis=1) for ids in (found[row], expected[row])]
            pairs = zip((found[row], expected[row]), at, strict=True)
            theirs, ours_ = (np.sort(sources[ids] @ query / norms / np.linalg.norm(query)) for ids, norms in pairs)
            close(theirs, ours_, atol=1e-6)
        alike = np.setdiff1d(np.arange(len(here)), different)
        difference = close(other["rows"][here][alike], one["rows"][tokens[here]][alike], atol=1e-6)
        return f"top 10 of {len(here):,} tokens the same but for {len(different)} ties, rows to {difference:.0e}"

    return Case(ours, plain, same, plain_share=shown / sizes[0])


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


@benchmark("vectors of 401,000 tokens, means of their words", plain="stack and mean, token by token", goal=10.0)
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
        made = np.zeros((matches.shape[0], words.shape[1]), dtype=np.float32)
        for token in range(matches.shape[0]):
            row = slice(matches.indptr[token], matches.indptr[token + 1])
            matched = [
                words[word]
                for word, count in zip(matches.indices[row].tolist(), matches.data[row].tolist(), strict=True)
                for _ in range(int(count))
            ]
            if matched:
                made[token] = np.mean(np.stack(matched), axis=0)
        return {"vectors": made}

    def ours() -> Arrays:
        return {"vectors": token_vectors(matches, words)[0]}

    return Case(ours, plain, lambda one, other: f"largest difference {close(one['vectors'], other['vectors'], atol=1e-5):.0e}")
