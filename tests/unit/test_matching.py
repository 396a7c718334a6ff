"""Matching against one `encode` call per word and variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

from lexigraft.artifacts import Provenance, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.matching import SCHEMA, match_words, read_matches, variants

SYLLABLES = ["ka", "lo", "mi", "tu", "re", "so", "ni", "Ba", "ü", "ß", "日", "本", "한", "국"]


def many_words(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(SYLLABLES, size=rng.integers(1, 5))) for _ in range(count)]
    return [f" {word} " if index % 5 == 0 else word for index, word in enumerate(words)]


@pytest.fixture(scope="module")
def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=400, special_tokens=["<s>", "<unk>"], initial_alphabet=ByteLevel.alphabet())
    tokenizer.train_from_iterator(many_words(3000), trainer)
    return tokenizer


@pytest.fixture(scope="module")
def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.train_from_iterator(many_words(500), WordPieceTrainer(vocab_size=90, special_tokens=["[UNK]", "[CLS]"]))
    return tokenizer


@pytest.mark.parametrize("kind", ["byte_level_bpe", "wordpiece"])
@pytest.mark.parametrize("block", [7, 100_000])
def test_the_same_as_one_call_per_variant(kind: str, block: int, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    words = many_words(2000, seed=3)
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    is_text[:2] = False
    expected: dict[tuple[int, int], int] = {}
    for index, word in enumerate(words):
        for form in variants(word):
            for token in set(tokenizer.encode(form, add_special_tokens=False).ids):
                if is_text[token]:
                    expected[token, index] = expected.get((token, index), 0) + 1
    found = match_words(tokenizer, pl.Series(words), is_text, block)
    assert {(token, word): count for token, word, count in found.iter_rows()} == expected
    assert set(found["count"]) <= {1, 2, 3}
    assert len(set(found["count"])) > 1


def test_variants_are_those_of_the_published_runs() -> None:
    assert variants("water") == ("water", " water", " Water")
    assert variants(" ndöhi ") == (" ndöhi ", "  ndöhi ", "Ndöhi ")
    assert variants("물") == ("물", " 물", " 물")


@given(st.text(min_size=1, max_size=20))
def test_variants_of_any_word(word: str) -> None:
    plain, spaced, capitalised = variants(word)
    assert plain == word
    assert spaced == " " + word
    assert capitalised.strip().lower() == word.strip().lower() or not word.isascii()


def test_words_without_any_token_are_an_error(wordpiece: Tokenizer) -> None:
    is_text = np.ones(wordpiece.get_vocab_size(), dtype=bool)
    is_text[:2] = False
    with pytest.raises(InputError, match="none of the 2 words"):
        match_words(wordpiece, pl.Series(["ξξ", "ψψ"]), is_text)


def test_matches_become_a_matrix_and_must_fit(tmp_path: Path) -> None:
    table = pl.DataFrame({"token": [0, 2, 2], "word": [1, 0, 3], "count": [3, 1, 2]}).cast(SCHEMA)
    write_table(tmp_path / "m.parquet", table, Provenance("matches"))
    matrix = read_matches(tmp_path / "m.parquet", 3, 4)
    np.testing.assert_array_equal(matrix.toarray(), [[0, 3, 0, 0], [0, 0, 0, 0], [1, 0, 0, 2]])
    with pytest.raises(ArtifactError, match="token 2 and word 3"):
        read_matches(tmp_path / "m.parquet", 2, 4)
