"""Initializers against float64 numpy written from docs/methods.md, token by token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from initializer_cases import RANK, SOURCE, TARGET, WORDS, known, small_view, vocabulary
from scipy.sparse import csr_matrix

from lexigraft.errors import InputError
from lexigraft.initializers import registry
from lexigraft.initializers.base import COMPUTED, COPIED, View
from lexigraft.initializers.graft import Graft
from lexigraft.initializers.hyperofa import HyperOFA
from lexigraft.initializers.ofa import OFA
from lexigraft.initializers.parts.evidence import word_evidence
from lexigraft.initializers.parts.overlap import overlap
from lexigraft.initializers.parts.rows import random_rows, similar_combination, token_vectors
from lexigraft.initializers.random import Random


@pytest.fixture
def view() -> View:
    return small_view()


def float64_ofa(view: View, token: int, weights: np.ndarray, source_weights: np.ndarray) -> np.ndarray:
    """One row of OFA as docs/methods.md 6 tells it, in float64 and plain loops."""
    words = view.vectors.vectors.astype(np.float64)

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
        [score * view.coordinates[index].astype(np.float64) for score, (_, index) in zip(scores, top, strict=True)], axis=0
    )


def test_every_method_is_registered() -> None:
    assert {"random", "ofa", "hyperofa", "graft"} <= registry().keys()


def test_ofa_rows_are_those_of_the_float64_version(view: View) -> None:
    result = OFA().initialize(view)
    target, source = view.target_matches.toarray(), view.source_matches.toarray()
    computed = np.flatnonzero(result.origin == COMPUTED)
    assert len(computed) > 20
    for token in computed:
        np.testing.assert_allclose(result.coordinates[token], float64_ofa(view, token, target, source), atol=2e-6)


def test_graft_rows_are_ofa_on_weighted_words_of_the_source_languages(view: View) -> None:
    result = Graft(verify_copies=None).initialize(view)
    words = view.vectors.words.to_list()
    lengths = np.linalg.norm(view.vectors.vectors.astype(np.float64), axis=1)

    def weights(matches: np.ndarray, surfaces: tuple[str, ...], own: bool) -> np.ndarray:
        out = np.zeros(matches.shape)
        for token, word in zip(*np.nonzero(matches), strict=True):
            if own and view.vectors.languages[int(word)] != "eng_Latn":
                continue
            share = min(1.0, len(surfaces[token].strip()) / len(words[word]))
            out[token, word] = share * np.sqrt(view.vectors.sentences[word]) / lengths[word]
        return out

    target = weights(view.target_matches.toarray(), view.target.surfaces, own=False)
    source = weights(view.source_matches.toarray(), view.source.surfaces, own=True)
    computed = np.flatnonzero(result.origin == COMPUTED)
    assert len(computed) > 20
    for token in computed:
        np.testing.assert_allclose(result.coordinates[token], float64_ofa(view, token, target, source), atol=2e-6)


@pytest.mark.parametrize("method", [Random(), OFA(), Graft()])
def test_every_token_is_accounted_for_and_copies_are_exact(view: View, method: Random | OFA | Graft) -> None:
    result = method.initialize(view)
    assert sum(result.counts().values()) == TARGET
    copied = result.origin == COPIED
    np.testing.assert_array_equal(result.coordinates[copied], view.coordinates[result.source_ids[copied]])
    assert (result.source_ids[~copied] == -1).all()
    again = method.initialize(view)
    np.testing.assert_array_equal(result.coordinates, again.coordinates)


def test_verification_drops_false_friends_only(view: View) -> None:
    every, kept = Graft(verify_copies=None).initialize(view), Graft(verify_copies=0.1).initialize(view)
    dropped = np.flatnonzero((every.source_ids >= 0) & (kept.source_ids < 0))
    assert 0 < len(dropped) < (every.source_ids >= 0).sum()
    assert (every.source_ids >= 0).sum() > 3
    own = {"weighted": True, "unit": True, "languages": view.source_languages}
    source, _ = token_vectors(
        word_evidence(view.source_matches, view.source.surfaces, view.vectors, **own), view.vectors.vectors
    )
    target, _ = token_vectors(
        word_evidence(view.target_matches, view.target.surfaces, view.vectors, weighted=True, unit=True), view.vectors.vectors
    )
    for token in np.flatnonzero(every.source_ids >= 0):
        one, other = source[every.source_ids[token]], target[token]
        known = np.linalg.norm(one) > 0 and np.linalg.norm(other) > 0
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other)) if known else 1.0
        assert (token in dropped) == (cosine < 0.1)
    assert (kept.origin[dropped] == COMPUTED).all()


def test_a_hypernetworks_share(view: View) -> None:
    def constant(weights: csr_matrix) -> np.ndarray:
        assert weights.shape[1] == WORDS
        return np.full((weights.shape[0], RANK), 2.0, dtype=np.float32)

    with_network = replace(view, hypernetwork=constant)
    blended = Graft(hypernetwork="h").initialize(with_network)
    plain = Graft().initialize(view)
    words = known(view.target_matches)
    np.testing.assert_allclose(blended.coordinates[words], 0.75 * plain.coordinates[words] + 0.5, atol=1e-6)
    np.testing.assert_array_equal(blended.coordinates[~words], plain.coordinates[~words])
    half = Graft(hypernetwork="h", hypernetwork_share=0.5).initialize(with_network)
    np.testing.assert_allclose(half.coordinates[words], 0.5 * plain.coordinates[words] + 1, atol=1e-6)
    predicted = HyperOFA(hypernetwork="h").initialize(with_network)
    assert (predicted.coordinates[predicted.origin == COMPUTED] == 2.0).all()
    assert (predicted.origin == OFA().initialize(view).origin).all()
    with pytest.raises(ValueError, match="needs a `hypernetwork`"):
        Graft(hypernetwork_share=0.5)


def test_overlap_is_exact_then_case_insensitive_last_id_wins_and_roles_by_role() -> None:
    source = vocabulary(["[CLS]", " the", " The", "ing", " a", " a", "<pad>", " Rex"], {0: "bos", 6: "pad"})
    target = vocabulary(
        ["<pad>", " The", " THE", " ing", "ING", " a", "[CLS]", " rex", "<s>", "<mask>"], {0: "pad", 8: "bos", 9: "mask"}
    )
    assert overlap(source, target).tolist() == [6, 2, 2, -1, 3, 5, -1, 7, 0, -1]


def test_vocabularies_that_share_nothing_are_an_error() -> None:
    with pytest.raises(InputError, match="none of the 2 target tokens is among the 2 source tokens"):
        overlap(vocabulary([" a", "<s>"], {1: "bos"}), vocabulary([" b", "<s>"], {1: "bos"}))


def test_random_rows_have_the_columns_moments_and_follow_the_seed() -> None:
    rng = np.random.default_rng(1)
    source = (rng.standard_normal((5000, 3)) * [1, 2, 3] + [0, 5, -5]).astype(np.float32)
    rows = random_rows(source, 20_000, seed=2)
    np.testing.assert_allclose(rows.mean(axis=0), source.mean(axis=0), atol=0.08)
    np.testing.assert_allclose(rows.std(axis=0), source.std(axis=0), rtol=0.03)
    np.testing.assert_array_equal(rows, random_rows(source, 20_000, seed=2))
    assert not np.array_equal(rows, random_rows(source, 20_000, seed=3))


def test_fewer_source_tokens_than_top_k() -> None:
    rng = np.random.default_rng(0)
    keys, rows = rng.standard_normal((3, 4)).astype(np.float32), np.eye(3, dtype=np.float32)
    combined = similar_combination(keys, keys, rows, top_k=10, temperature=0.1)
    np.testing.assert_allclose(combined.sum(axis=1), 1, rtol=1e-6)
    assert (combined.argmax(axis=1) == np.arange(3)).all()
