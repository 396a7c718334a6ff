"""Matching against one `encode` call per word and variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.evidence.makers.word_matches import SCHEMA, cap_words, match_words, surface_variants, write_matches
from lexigraft.evidence.word_matches import read_matches
from lexigraft.tokenizers.fast import fast_tokenizer, write_tokenizer_files
from lexigraft.tokenizers.vocabulary import SCHEMA as VOCABULARY
from tests.plain_matching import plain_matches, variants

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
def test_matches_equal_one_call_per_variant(kind: str, block: int, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    words = many_words(2000, seed=3)
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    is_text[:2] = False
    plain = plain_matches(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, enumerate(words))
    expected = {pair: count for pair, count in plain.items() if is_text[pair[0]]}
    found = match_words(tokenizer, pl.Series(words), is_text, block)
    assert {(token, word): count for token, word, count in found.iter_rows()} == expected
    assert set(found["count"]) <= {1, 2, 3}
    assert len(set(found["count"])) > 1


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("water", ["water", " water", " Water"]),
        (" ndöhi ", [" ndöhi ", "  ndöhi ", "Ndöhi "]),
        ("물", ["물", " 물", " 물"]),
        ("ßa", ["ßa", " ßa", " SSa"]),
    ],
)
def test_variants_are_those_of_the_published_runs(word: str, expected: list[str]) -> None:
    assert [forms.item() for forms in surface_variants(pl.Series([word]))] == expected


@settings(deadline=None)
@given(st.lists(st.text(max_size=8) | st.sampled_from(["", " ", "  ", " a", "a ", "ß", "İstanbul", " \u0301a"]), max_size=12))
def test_variants_of_all_words_are_those_of_each(words: list[str]) -> None:
    found = surface_variants(pl.Series(words, dtype=pl.String))
    assert list(zip(*(forms.to_list() for forms in found), strict=True)) == [variants(word) for word in words]


def test_words_without_any_token_are_an_error(wordpiece: Tokenizer) -> None:
    is_text = np.ones(wordpiece.get_vocab_size(), dtype=bool)
    is_text[:2] = False
    with pytest.raises(InputError, match="none of the 2 words"):
        match_words(wordpiece, pl.Series(["ξξ", "ψψ"]), is_text)


@settings(deadline=None)
@given(
    pairs=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1),
    sentences=st.lists(st.integers(0, 3), min_size=10, max_size=10),
    most=st.integers(1, 4),
)
def test_cap_keeps_words_of_most_sentences(pairs: set[tuple[int, int]], sentences: list[int], most: int) -> None:
    rows = [(token, word, 1 + (token + word) % 3) for token, word in sorted(pairs)]
    expected = []
    for token in range(5):
        words = sorted((word for one, word in pairs if one == token), key=lambda word: (-sentences[word], word))[:most]
        expected += [row for row in rows if row[0] == token and row[1] in words]
    found = cap_words(pl.DataFrame(rows, schema=SCHEMA, orient="row"), np.array(sentences), most)
    assert found.rows() == expected
    assert found.schema == SCHEMA


def test_cap_without_sentence_counts_keeps_the_first_words() -> None:
    table = pl.DataFrame({"token": [0, 0, 0, 3, 3], "word": [1, 5, 7, 0, 7], "count": [1, 2, 3, 1, 1]}).cast(SCHEMA)
    found = cap_words(table, np.zeros(8, dtype=np.int64), 2)
    assert found.rows() == [(0, 1, 1), (0, 5, 2), (3, 0, 1), (3, 7, 1)]


def test_matches_of_artifacts_with_and_without_cap(tmp_path: Path, wordpiece: Tokenizer) -> None:
    words = pl.DataFrame({"language": "eng", "word": many_words(300, seed=5), "sentences": np.arange(300) % 7})
    write_table(tmp_path / "words.parquet", words, Provenance("word_vectors"))
    write_tokenizer_files(fast_tokenizer(wordpiece, {"unk_token": "[UNK]", "cls_token": "[CLS]"}), tmp_path)
    tokens = sorted(wordpiece.get_vocab(), key=lambda token: wordpiece.token_to_id(token) or 0)
    table = pl.DataFrame({"id": range(len(tokens)), "token": tokens, "surface": tokens, "role": None, "count": 0})
    table = table.with_columns(role=pl.when(pl.col("id") < 2).then(pl.lit("special")))
    write_table(tmp_path / "vocabulary.parquet", table.cast(VOCABULARY), Provenance("tokenizer"))
    for cap in (None, 3):
        write_matches(tmp_path / "words.parquet", tmp_path, tmp_path / f"{cap}.parquet", Provenance("matches"), cap)
    every, capped = (read_table(tmp_path / f"{cap}.parquet", "matches") for cap in (None, 3))
    is_text = np.arange(len(tokens)) >= 2
    assert every.equals(match_words(wordpiece, words["word"], is_text))
    assert capped.equals(cap_words(every, words["sentences"].to_numpy(), 3))
    assert capped.group_by("token").len()["len"].max() == 3 < every.group_by("token").len()["len"].max()


def test_matches_are_read_as_a_matrix_of_fitting_size(tmp_path: Path) -> None:
    table = pl.DataFrame({"token": [0, 2, 2], "word": [1, 0, 3], "count": [3, 1, 2]}).cast(SCHEMA)
    write_table(tmp_path / "m.parquet", table, Provenance("matches"))
    matrix = read_matches(tmp_path / "m.parquet", 3, 4)
    np.testing.assert_array_equal(matrix.toarray(), [[0, 3, 0, 0], [0, 0, 0, 0], [1, 0, 0, 2]])
    with pytest.raises(ArtifactError, match="token 2 and word 3"):
        read_matches(tmp_path / "m.parquet", 2, 4)
