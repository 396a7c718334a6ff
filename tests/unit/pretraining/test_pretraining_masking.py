"""Masking by its definition: fractions, tokens that are never masked, whole words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_cases import ROLES, VOCAB, vocabulary

from lexigraft.errors import InputError
from lexigraft.pretraining.objectives.mlm import mask_tokens, masking_rule
from lexigraft.tokenizers.vocabulary import Vocabulary

RULE = masking_rule(vocabulary())
WORDS = masking_rule(vocabulary(), whole_words=True)
TOKENS = np.random.default_rng(0).integers(VOCAB, size=(400, 500))


def test_fractions_lie_within_binomial_bounds() -> None:
    batch = mask_tokens(TOKENS, RULE, 0.15, np.random.default_rng(3))
    text = int(RULE.is_text[TOKENS].sum())
    seen = batch.input_ids.ravel()[batch.positions]
    masked, kept = int((seen == RULE.mask_id).sum()), int((seen == batch.labels).sum())
    # a random token is the old one once in V
    chance = 1 / len(RULE.text_ids)
    n = len(batch.positions)
    for count, total, share in ((n, text, 0.15), (masked, n, 0.8), (kept, n, 0.1 + 0.1 * chance)):
        assert abs(count - total * share) < 4 * math.sqrt(total * share * (1 - share))


def test_random_tokens_are_uniform_over_text() -> None:
    batch = mask_tokens(TOKENS, RULE, 0.9, np.random.default_rng(3))
    seen = batch.input_ids.ravel()[batch.positions]
    random = seen[(seen != RULE.mask_id) & (seen != batch.labels)]
    counts = np.bincount(random, minlength=VOCAB)
    assert counts[~RULE.is_text].sum() == 0
    expected = len(random) / len(RULE.text_ids)
    assert np.abs(counts[RULE.is_text] - expected).max() < 5 * math.sqrt(expected)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 0.99), st.booleans())
def test_only_chosen_text_changes(seed: int, probability: float, words: bool) -> None:
    tokens = TOKENS[:3, :50]
    before = tokens.copy()
    batch = mask_tokens(tokens, WORDS if words else RULE, probability, np.random.default_rng(seed))
    assert (tokens == before).all()
    assert RULE.is_text[batch.labels].all()
    assert (np.diff(batch.positions) > 0).all()
    restored = batch.input_ids.ravel().copy()
    restored[batch.positions] = batch.labels
    assert (restored == tokens.ravel()).all()


def test_masking_follows_from_the_generator_alone() -> None:
    one, same, other = (mask_tokens(TOKENS, RULE, 0.15, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one.input_ids == same.input_ids).all()
    assert (one.positions == same.positions).all()
    assert one.positions.shape != other.positions.shape or (one.positions != other.positions).any()


def test_special_tokens_are_never_masked() -> None:
    specials = np.tile(np.arange(len(ROLES)), (50, 10))
    for rule in (RULE, WORDS):
        assert len(mask_tokens(specials, rule, 0.99, np.random.default_rng(0)).positions) == 0


def test_a_mask_token_and_text_are_needed_and_tokens_that_begin_words_for_whole_ones() -> None:
    without = Vocabulary(("a", "b"), ("a", "b"), (None, "bos"), np.ones(2, np.int64))
    with pytest.raises(InputError, match="no mask token"):
        masking_rule(without)
    with pytest.raises(InputError, match="all tokens of the tokenizer are special"):
        masking_rule(Vocabulary(("a",), ("a",), ("mask",), np.ones(1, np.int64)))
    plain = vocabulary()
    bare = Vocabulary(plain.tokens, tuple(surface.strip() for surface in plain.surfaces), plain.roles, plain.counts)
    with pytest.raises(InputError, match="no token begins a word"):
        masking_rule(bare, whole_words=True)


def words_of(row: np.ndarray) -> list[list[int]]:
    """Positions of each word, by a plain loop over tokens; tokens of roles belong to none."""
    words: list[list[int]] = []
    surfaces, open_word = vocabulary().surfaces, False
    for position, token in enumerate(row.tolist()):
        if token < len(ROLES):
            open_word = False
        elif surfaces[token].startswith(" ") or not open_word:
            words.append([position])
            open_word = True
        else:
            words[-1].append(position)
    return words


@pytest.mark.parametrize("seed", range(5))
def test_all_tokens_of_a_word_are_masked_together(seed: int) -> None:
    tokens = TOKENS[:40, :60]
    batch = mask_tokens(tokens, WORDS, 0.3, np.random.default_rng(seed))
    chosen = np.zeros(tokens.size, bool)
    chosen[batch.positions] = True
    words = [[row * 60 + position for position in word] for row in range(40) for word in words_of(tokens[row])]
    assert any(len(word) > 1 for word in words)
    assert all(len({bool(chosen[position]) for position in word}) == 1 for word in words)
    count = sum(bool(chosen[word[0]]) for word in words)
    assert abs(count - 0.3 * len(words)) < 4 * math.sqrt(0.21 * len(words))


def test_in_scripts_without_spaces_every_token_is_a_word() -> None:
    surfaces = (
        *("<mask>", " 神", "爱", "世人", " ひ", "かり", "แสง", "ສະ", "ཀུ", "သ", "ទ", "カ", "𠀀"),
        *(" 말", "씀", " lu", "ce", "é"),
    )
    rule = masking_rule(Vocabulary(surfaces, surfaces, ("mask", *[None] * 17), np.ones(18, np.int64)), whole_words=True)
    assert rule.begins_word is not None
    inside = [surface for surface, begins in zip(surfaces, rule.begins_word, strict=True) if not begins]
    assert inside == ["<mask>", "씀", "ce", "é"]
    text = np.tile(np.arange(1, 13), (2000, 1))
    chosen = mask_tokens(text, rule, 0.3, np.random.default_rng(0)).positions
    counts = np.bincount(np.bincount(chosen // 12, minlength=2000), minlength=13)
    wanted = [2000 * math.comb(12, n) * 0.3**n * 0.7 ** (12 - n) for n in range(13)]
    assert all(abs(found - expected) < 5 * math.sqrt(expected) + 1 for found, expected in zip(counts, wanted, strict=True))
