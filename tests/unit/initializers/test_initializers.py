"""Initializers against float64 numpy written from docs/methods.md, token by token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from initializer_cases import RANK, SOURCE, WORDS, Case, known, made, small_case, vocabulary
from scipy.sparse import csr_matrix

from lexigraft.errors import InputError
from lexigraft.initialization.rows import fill_random
from lexigraft.initializers.graft import Graft
from lexigraft.initializers.hyperofa import HyperOFA
from lexigraft.initializers.ofa import OFA
from lexigraft.initializers.parts.overlap import overlap
from lexigraft.token_maps.token_map import COMPUTED
from lexigraft.word_vectors.similarity import mean_vectors
from lexigraft.word_vectors.word_weights import word_weights


@pytest.fixture
def view() -> Case:
    return small_case()


def float64_ofa(view: Case, token: int, weights: np.ndarray, source_weights: np.ndarray) -> np.ndarray:
    """One row of OFA as docs/methods.md 6 tells it, in float64 and plain loops."""
    words = view.words.vectors.vectors.astype(np.float64)

    def vector(row: np.ndarray) -> np.ndarray | None:
        repeated = [row[index] * words[index] for index in np.flatnonzero(row)]
        return np.sum(repeated, axis=0) / row.sum() if repeated else None

    query = vector(weights[token])
    assert query is not None
    cosines = []
    for index in range(SOURCE):
        key = vector(source_weights[index])
        if key is not None:
            cosines.append((float(query @ key / np.linalg.norm(query) / np.linalg.norm(key)), index))
    top = sorted(cosines, reverse=True)[:10]
    scores = np.exp(np.array([cosine for cosine, _ in top]) / 0.1)
    scores /= scores.sum()
    return np.sum(
        [score * view.table.rows[index].astype(np.float64) for score, (_, index) in zip(scores, top, strict=True)], axis=0
    )


def test_ofa_rows_are_those_of_the_float64_version(view: Case) -> None:
    result = made(OFA(), view)
    target, source = view.words.target.toarray(), view.words.source.toarray()
    computed = np.flatnonzero(result.origin == COMPUTED)
    assert len(computed) > 20
    for token in computed:
        np.testing.assert_allclose(result.rows[token], float64_ofa(view, token, target, source), atol=2e-6)


def test_graft_rows_are_ofa_on_weighted_words_of_the_source_languages(view: Case) -> None:
    result = made(Graft(verify_copies=None), view)
    words = view.words.vectors.words.to_list()
    lengths = np.linalg.norm(view.words.vectors.vectors.astype(np.float64), axis=1)

    def weights(matches: np.ndarray, surfaces: tuple[str, ...], own: bool) -> np.ndarray:
        out = np.zeros(matches.shape)
        for token, word in zip(*np.nonzero(matches), strict=True):
            if own and view.words.vectors.languages[int(word)] != "eng_Latn":
                continue
            share = min(1.0, len(surfaces[token].strip()) / len(words[word]))
            out[token, word] = share * np.sqrt(view.words.vectors.sentences[word]) / lengths[word]
        return out

    target = weights(view.words.target.toarray(), view.tokens.target.surfaces, own=False)
    source = weights(view.words.source.toarray(), view.tokens.source.surfaces, own=True)
    computed = np.flatnonzero(result.origin == COMPUTED)
    assert len(computed) > 20
    for token in computed:
        np.testing.assert_allclose(result.rows[token], float64_ofa(view, token, target, source), atol=2e-6)


def test_verification_drops_false_friends_only(view: Case) -> None:
    every, kept = made(Graft(verify_copies=None), view), made(Graft(verify_copies=0.1), view)
    dropped = np.flatnonzero((every.copies >= 0) & (kept.copies < 0))
    assert 0 < len(dropped) < (every.copies >= 0).sum()
    assert (every.copies >= 0).sum() > 3
    own = {"weighted": True, "unit": True, "languages": view.tokens.source_languages}
    words, surfaces = view.words.vectors, view.tokens.target.surfaces
    weights = word_weights(view.words.source, view.tokens.source.surfaces, words, **own)
    source, _ = mean_vectors(weights, words.vectors)
    target, _ = mean_vectors(word_weights(view.words.target, surfaces, words, weighted=True, unit=True), words.vectors)
    for token in np.flatnonzero(every.copies >= 0):
        one, other = source[every.copies[token]], target[token]
        known = np.linalg.norm(one) > 0 and np.linalg.norm(other) > 0
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other)) if known else 1.0
        assert (token in dropped) == (cosine < 0.1)
    assert (kept.origin[dropped] == COMPUTED).all()


def test_a_hypernetworks_share(view: Case) -> None:
    def constant(weights: csr_matrix) -> np.ndarray:
        assert weights.shape[1] == WORDS
        return np.full((weights.shape[0], RANK), 2.0, dtype=np.float32)

    with_network = replace(view, predict=constant)
    blended = made(Graft(hypernetwork="h"), with_network)
    plain = made(Graft(), view)
    words = known(view.words.target)
    np.testing.assert_allclose(blended.rows[words], 0.75 * plain.rows[words] + 0.5, atol=1e-6)
    np.testing.assert_array_equal(blended.rows[~words], plain.rows[~words])
    half = made(Graft(hypernetwork="h", hypernetwork_share=0.5), with_network)
    np.testing.assert_allclose(half.rows[words], 0.5 * plain.rows[words] + 1, atol=1e-6)
    predicted = made(HyperOFA(hypernetwork="h"), with_network)
    assert (predicted.rows[predicted.origin == COMPUTED] == 2.0).all()
    assert (predicted.origin == made(OFA(), view).origin).all()
    with pytest.raises(ValueError, match="needs a `hypernetwork`"):
        Graft(hypernetwork_share=0.5)


def test_overlap_is_exact_then_case_insensitive_last_id_wins_and_roles_by_role() -> None:
    source = vocabulary(["[CLS]", " the", " The", "ing", " a", " a", "<pad>", " Rex"], {0: "bos", 6: "pad"})
    target = vocabulary(
        ["<pad>", " The", " THE", " ing", "ING", " a", "[CLS]", " rex", "<s>", "<mask>"], {0: "pad", 8: "bos", 9: "mask"}
    )
    assert overlap(source, target).tolist() == [6, 2, 2, -1, 3, 5, -1, 7, 0, -1]
    with pytest.raises(InputError, match="none of the 2 target tokens is among the 2 source tokens"):
        overlap(vocabulary([" a", "<s>"], {1: "bos"}), vocabulary([" b", "<s>"], {1: "bos"}))


def test_random_rows_have_the_columns_moments_and_follow_the_seed() -> None:
    rng = np.random.default_rng(1)
    source = (rng.standard_normal((5000, 3)) * [1, 2, 3] + [0, 5, -5]).astype(np.float32)

    def drawn(seed: int, tokens: np.ndarray) -> np.ndarray:
        rows = np.zeros((40_000, 3), dtype=np.float32)
        fill_random(rows, tokens, source, seed)
        return rows

    every, some = np.arange(40_000), np.arange(0, 40_000, 7)
    rows = drawn(2, every)
    np.testing.assert_allclose(rows.mean(axis=0), source.mean(axis=0), atol=0.08)
    np.testing.assert_allclose(rows.std(axis=0), source.std(axis=0), rtol=0.03)
    # as one draw for the whole vocabulary, whichever tokens are drawn
    mean, std = source.mean(axis=0, dtype=np.float64), source.std(axis=0, dtype=np.float64)
    whole = (mean + std * np.random.default_rng(2).standard_normal((40_000, 3))).astype(np.float32)
    np.testing.assert_array_equal(rows, whole)
    np.testing.assert_array_equal(drawn(2, some)[some], whole[some])
    assert not drawn(2, some)[1:7].any()
    assert not np.array_equal(rows, drawn(3, every))
