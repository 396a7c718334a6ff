"""The options that every method can use, each against what it says, token by token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from initializer_cases import RANK, SOURCE, TARGET, WORDS, Case, known, made, small_case
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from lexigraft.errors import InputError
from lexigraft.initializers.graft import Graft
from lexigraft.initializers.hyperofa import HyperOFA
from lexigraft.initializers.ofa import OFA
from lexigraft.initializers.parts.base import Initializer
from lexigraft.initializers.parts.overlap import overlap
from lexigraft.initializers.random import Random
from lexigraft.token_maps.token_map import COMPUTED, COPIED, MEAN, RANDOM
from lexigraft.word_vectors.table import WordVectors


def predicted(weights: csr_matrix) -> np.ndarray:
    """Stands for a network: sums of the weights, told apart by column, so that a row shows what it was given."""
    return np.asarray(weights @ np.linspace(1, 2, WORDS * RANK).reshape(WORDS, RANK), dtype=np.float32)


@pytest.fixture
def view() -> Case:
    return replace(small_case(), predict=predicted)


METHODS: list[tuple[type[Initializer], dict[str, Any]]] = [
    (Random, {}),
    (OFA, {}),
    (HyperOFA, {"hypernetwork": "h"}),
    (Graft, {}),
    (Graft, {"hypernetwork": "h", "hypernetwork_share": 0.5}),
]
COMPUTING = METHODS[1:]
OFF: dict[str, Any] = {
    **dict.fromkeys(("source_word_languages", "word_weights", "unit_words", "copies_need_words", "contained_words"), False),
    **{"verify_copies": None, "fallback": "random"},
}


def test_graft_without_its_options_is_ofa(view: Case) -> None:
    without = replace(view, predict=None)
    plain, off = made(OFA(), without), made(Graft(**OFF), without)
    np.testing.assert_array_equal(plain.rows, off.rows)
    np.testing.assert_array_equal(plain.origin, off.origin)
    options = dict.fromkeys(
        ("source_word_languages", "word_weights", "unit_words", "copies_need_words", "contained_words"), True
    )
    on = made(OFA(**options, verify_copies=0.3, fallback="mean"), without)
    np.testing.assert_array_equal(on.rows, made(Graft(), without).rows)
    assert not np.array_equal(plain.rows, on.rows)


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_copies_are_exact_and_all_others_computed_or_filled_by_the_fallback(
    view: Case, method: type[Initializer], options: dict[str, Any]
) -> None:
    random = made(method(**options, fallback="random"), view)
    mean = made(method(**options, fallback="mean"), view)
    copied, left = random.origin == COPIED, random.origin == RANDOM
    np.testing.assert_array_equal(random.rows[copied], view.table.rows[random.copies[copied]])
    assert (random.copies[~copied] == -1).all()
    assert left.any()
    np.testing.assert_array_equal(mean.origin == MEAN, left)
    expected = view.table.rows.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(mean.rows[left], np.tile(expected, (left.sum(), 1)), rtol=1e-6)
    np.testing.assert_array_equal(mean.rows[~left], random.rows[~left])


def cosines(view: Case, options: dict[str, Any]) -> np.ndarray:
    """Cosine of the vectors of each shared token on both sides in float64, nan where one has no word."""
    words, lengths = view.words.vectors.vectors.astype(np.float64), [len(word) for word in view.words.vectors.words]

    def vector(matches: csr_matrix, token: int, surface: str, own: bool) -> np.ndarray:
        row = matches[token].toarray()[0].astype(np.float64)
        if own:
            row *= [language == "eng_Latn" for language in view.words.vectors.languages]
        if options["word_weights"]:
            share = np.minimum(1, len(surface.strip()) / np.array(lengths))
            row = (row > 0) * share * np.sqrt(view.words.vectors.sentences)
        return row @ words

    shared = overlap(view.tokens.source, view.tokens.target)
    found = np.full(TARGET, np.nan)
    for token in np.flatnonzero(shared >= 0):
        one = vector(view.words.target, token, view.tokens.target.surfaces[token], False)
        source = shared[token]
        other = vector(view.words.source, source, view.tokens.source.surfaces[source], options["source_word_languages"])
        if one.any() and other.any():
            found[token] = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return found


@pytest.mark.parametrize(("method", "options"), METHODS)
@pytest.mark.parametrize("weights", [False, True])
def test_verified_copies(view: Case, method: type[Initializer], options: dict[str, Any], weights: bool) -> None:
    """False friends are no copies any more, whatever the method does with them."""
    chosen = {"verify_copies": 0.05, "word_weights": weights, "source_word_languages": weights}
    chosen |= {"unit_words": False, "copies_need_words": False}
    chosen |= {} if method is Random else {"contained_words": False}
    used = method(**options, **chosen)
    shared, measured = overlap(view.tokens.source, view.tokens.target), cosines(view, chosen)
    assert np.nanmin(np.abs(measured - 0.05)) > 1e-4
    false_friends = measured < 0.05
    assert 0 < false_friends.sum() < (shared >= 0).sum()
    np.testing.assert_array_equal(view.vectors(used).copies, np.where(false_friends, -1, shared))
    result = made(used, view)
    assert (result.origin[false_friends] == (RANDOM if method is Random else COMPUTED)).all()


@pytest.mark.parametrize(("method", "options"), COMPUTING)
def test_predict_copied(view: Case, method: type[Initializer], options: dict[str, Any]) -> None:
    """Every token with a word is computed; those without stay as they were."""
    plain = made(method(**options), view)
    everything = made(method(**options, predict_copied=True), view)
    with_words = known(view.words.target)
    assert (plain.origin == COPIED).sum() > 3
    np.testing.assert_array_equal(everything.origin == COMPUTED, with_words)
    assert (everything.copies[with_words] == -1).all()
    np.testing.assert_array_equal(everything.rows[~with_words], plain.rows[~with_words])


def test_a_copied_token_is_computed_as_if_the_source_did_not_have_it(view: Case) -> None:
    surfaces = tuple(text if index == 3 else f"{text}?" for index, text in enumerate(view.tokens.target.surfaces))
    new = made(OFA(), view.with_tokens(target=replace(view.tokens.target, surfaces=surfaces)))
    assert (new.origin == COPIED).sum() == 4  # three roles, and the one text token without a word
    everything = made(OFA(predict_copied=True), view)
    words = known(view.words.target)
    np.testing.assert_array_equal(new.rows[words], everything.rows[words])


def test_words_of_the_source_languages_alone_and_their_absence(view: Case) -> None:
    kept = view.words.vectors.of_languages(("eng_Latn",))
    cut = view.with_words(source=csr_matrix(view.words.source.multiply(kept)))
    cut.words.source.eliminate_zeros()
    np.testing.assert_array_equal(made(OFA(source_word_languages=True), view).rows, made(OFA(), cut).rows)
    with pytest.raises(InputError, match=r"no source token matches a word of the source's languages \(fin_Latn\)"):
        made(Graft(), view.with_tokens(source_languages=("fin_Latn",)))


def test_a_vocabulary_that_is_copied_as_a_whole_leaves_nothing_to_compute(view: Case) -> None:
    result = made(OFA(), view.with_tokens(target=view.tokens.source).with_words(target=view.words.source))
    assert result.map.counts() == {"copied": SOURCE, "computed": 0, "mean": 0, "random": 0}
    np.testing.assert_array_equal(result.rows, view.table.rows)


@pytest.mark.parametrize("contained", [False, True])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_network_is_given_the_weights_of_the_words(with_chinese: Case, weighted: bool, unit: bool, contained: bool) -> None:
    """Pair by pair, as docs/methods.md, section 12 tells it."""
    view, words = with_chinese, with_chinese.words.vectors
    weights = view.words.target.toarray().astype(np.float64)
    inside = {20: (0, 1, 2), 22: (3, 4), 25: (1, 2)} if contained else {}
    pairs = [*zip(*np.nonzero(weights), strict=True), *((token, word) for token, held in inside.items() for word in held)]
    for token, word in pairs:
        ours, theirs = len(view.tokens.target.surfaces[token].strip()), len(words.words[int(word)].strip())
        if token in inside:
            weights[token, word] = theirs / ours
        elif weighted:
            weights[token, word] = min(1, ours / theirs)
        weights[token, word] *= np.sqrt(words.sentences[word]) if weighted else 1
        weights[token, word] /= np.linalg.norm(words.vectors[word].astype(np.float64)) if unit else 1
    options = {"word_weights": weighted, "unit_words": unit, "contained_words": contained}
    alone, share = HyperOFA(hypernetwork="h", **options), Graft(hypernetwork="h", hypernetwork_share=1.0, **options)
    for method in (alone, share):
        result = made(method, view)
        computed = np.flatnonzero(result.origin == COMPUTED)
        assert set(inside) <= set(computed)
        np.testing.assert_allclose(result.rows[computed], predicted(csr_matrix(weights[computed])), rtol=1e-5)


@pytest.mark.parametrize("weights", [False, True])
def test_words_of_unit_length(view: Case, weights: bool) -> None:
    """The option is what it says: the same as vectors that have unit length already."""
    lengths = np.linalg.norm(view.words.vectors.vectors, axis=1, keepdims=True)
    unit = (view.words.vectors.vectors / lengths).astype(np.float32)
    scaled = view.with_words(vectors=replace(view.words.vectors, vectors=unit))
    option = made(OFA(unit_words=True, word_weights=weights), view)
    plain = made(OFA(word_weights=weights), scaled)
    np.testing.assert_allclose(option.rows, plain.rows, rtol=1e-4, atol=1e-6)
    assert not np.allclose(option.rows, made(OFA(word_weights=weights), view).rows, rtol=1e-2)
    np.testing.assert_allclose(view.words.vectors.lengths(), lengths[:, 0], rtol=1e-6)


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_copies_need_words(view: Case, method: type[Initializer], options: dict[str, Any]) -> None:
    """A shared token that only the target has words of is new; one without words on both sides stays a copy."""
    kept = np.outer(~np.isin(np.arange(SOURCE), range(9, 15)), view.words.vectors.of_languages(("eng_Latn",)))
    own = csr_matrix(view.words.source.multiply(kept))
    own.eliminate_zeros()
    bare = view.with_words(source=own)
    switched = {**options, "copies_need_words": True, "source_word_languages": True, "verify_copies": None}
    copies = bare.vectors(method(**switched)).copies
    shared = overlap(view.tokens.source, view.tokens.target)
    unproven = (shared >= 0) & known(view.words.target) & ~known(own)[shared]
    assert unproven.sum() >= 2
    np.testing.assert_array_equal(copies, np.where(unproven, -1, shared))
    assert (copies[~known(view.words.target)] == shared[~known(view.words.target)]).all()


@pytest.fixture
def with_chinese(view: Case) -> Case:
    """The view with a few Chinese words, and new target tokens that match none but hold some of them."""
    words = ["你们", "你", "们", " Water", "wa"]
    surfaces = {20: "他你们", 22: " Water!", 23: "???", 25: "你?们"}
    vectors = WordVectors(
        view.words.vectors.languages,
        pl.Series([*words, *view.words.vectors.words[len(words) :]]),
        view.words.vectors.sentences,
        view.words.vectors.vectors,
    )
    kept = ~np.isin(np.arange(TARGET), list(surfaces))
    matches = csr_matrix(view.words.target.multiply(kept[:, None]))
    matches.eliminate_zeros()
    named = tuple(surfaces.get(index, text) for index, text in enumerate(view.tokens.target.surfaces))
    return view.with_tokens(target=replace(view.tokens.target, surfaces=named)).with_words(target=matches, vectors=vectors)


def test_contained_words(with_chinese: Case) -> None:
    """Only tokens that match nothing and are not shared; every word in the surface, by its share of it."""
    found = with_chinese.vectors(OFA(contained_words=True)).contained.toarray()
    assert {tuple(pair) for pair in np.argwhere(found)} == {(20, 0), (20, 1), (20, 2), (22, 3), (22, 4), (25, 1), (25, 2)}
    np.testing.assert_allclose(found[20, :3], [2 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose([found[22, 3], found[25, 1]], [5 / 6, 1 / 3])
    weighed = with_chinese.vectors(OFA(contained_words=True, word_weights=True, unit_words=True)).target_weights.toarray()
    length = np.linalg.norm(with_chinese.words.vectors.vectors[0])
    np.testing.assert_allclose(weighed[20, 0], 2 / 3 * np.sqrt(with_chinese.words.vectors.sentences[0]) / length, rtol=1e-6)


def test_a_contained_word_whose_vector_has_no_direction_says_nothing(with_chinese: Case) -> None:
    vectors = with_chinese.words.vectors.vectors.copy()
    vectors[[0, 3, 4]] = 0
    silent = with_chinese.with_words(vectors=replace(with_chinese.words.vectors, vectors=vectors))
    evidence = silent.vectors(OFA(contained_words=True, unit_words=True))
    assert np.flatnonzero(evidence.target_weights[20].toarray()).tolist() == [1, 2]
    assert evidence.target_matched[[20, 22]].tolist() == [True, False]
    unit = vectors[1:3] / np.linalg.norm(vectors[1:3], axis=1, keepdims=True)
    mean = evidence.target_vectors[20] / np.linalg.norm(evidence.target_vectors[20])
    np.testing.assert_allclose(mean, unit.sum(axis=0) / np.linalg.norm(unit.sum(axis=0)), rtol=1e-5)


@pytest.mark.parametrize(("method", "options"), COMPUTING)
def test_tokens_with_contained_words_are_computed(
    with_chinese: Case, method: type[Initializer], options: dict[str, Any]
) -> None:
    plain = made(method(**{**options, "contained_words": False}), with_chinese)
    more = made(method(**{**options, "contained_words": True}), with_chinese)
    changed = np.flatnonzero(plain.origin != more.origin)
    assert changed.tolist() == [20, 22, 25]
    assert (more.origin[changed] == COMPUTED).all()
    others = np.setdiff1d(np.arange(TARGET), changed)
    np.testing.assert_array_equal(plain.rows[others], more.rows[others])


def test_options_that_do_nothing_are_errors() -> None:
    with pytest.raises(ValidationError, match="`predict_copied` does nothing here"):
        Random(predict_copied=True)
    with pytest.raises(ValidationError, match="`contained_words` does nothing here"):
        Random(contained_words=True)
    with pytest.raises(ValidationError, match="`source_word_languages` does nothing here without `verify_copies`"):
        Random(source_word_languages=True)
    assert Random(verify_copies=0.2, word_weights=True, source_word_languages=True).fallback == "random"


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_what_is_given_is_not_changed_and_results_repeat(
    view: Case, method: type[Initializer], options: dict[str, Any]
) -> None:
    chosen = method(**options, verify_copies=0.05, **({} if method is Random else {"predict_copied": True}))
    before = [view.table.rows.copy(), view.words.source.toarray(), view.words.target.toarray()]
    one, other = made(chosen, view), made(chosen, view)
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.copies, other.copies)
    for now, then in zip([view.table.rows, view.words.source.toarray(), view.words.target.toarray()], before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert sum(one.map.counts().values()) == TARGET


def test_a_word_whose_vector_has_no_direction_says_nothing(view: Case) -> None:
    vectors = view.words.vectors.vectors.copy()
    vectors[::7] = 0
    silent = view.with_words(vectors=replace(view.words.vectors, vectors=vectors))
    spoken = np.any(vectors != 0, axis=1)
    without = silent.with_words(
        source=csr_matrix(view.words.source.multiply(spoken)), target=csr_matrix(view.words.target.multiply(spoken))
    )
    for matches in (without.words.source, without.words.target):
        matches.eliminate_zeros()
    one, other = (made(OFA(unit_words=True), given) for given in (silent, without))
    np.testing.assert_allclose(one.rows, other.rows, atol=1e-6)
    np.testing.assert_array_equal(one.origin, other.origin)
