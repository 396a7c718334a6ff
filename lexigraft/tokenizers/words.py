"""Words of a corpus as a tokenizer's own front end sees them: normalized, pre-tokenized and counted.

New pieces are always learned from these counts, so they match what the tokenizer later looks up.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.progress import progress
from lexigraft.tokenizers.surfaces import METASPACE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WordCounts:
    """Distinct words in the order of their code points, and how often each occurs.

    Attributes:
        words: as the tokenizer's model receives them, for example `▁water`, `Ġwater` or `water`.
        counts: (len(words),) int64, all positive.
    """

    words: list[str]
    counts: NDArray[np.int64]

    def without(self, characters: set[str]) -> WordCounts:
        """Return the words that hold none of `characters`."""
        kept = np.array([characters.isdisjoint(word) for word in self.words], dtype=bool)
        return WordCounts([word for word, keep in zip(self.words, kept, strict=True) if keep], self.counts[kept])


def count_words(tokenizer: Tokenizer, sentences: pl.LazyFrame) -> WordCounts:
    """Count the words of a corpus.

    Sentences are split at spaces first, so that normalizer and pre-tokenizer run once for each distinct stretch between
    spaces and not once for each of its occurrences.

    Args:
        tokenizer: its normalizer and pre-tokenizer are used, its model is not.
        sentences: a lazy frame with the column `text`.

    Raises:
        InputError: there is no word in the text.
    """
    split = front_end(tokenizer)
    stretches = _stretches(sentences, _space_before(split))
    words: Counter[str] = Counter()
    for stretch, count in progress(stretches.iter_rows(), len(stretches), "splitting into words", "words"):
        for word in split(stretch):
            words[word] += count
    if not words:
        raise InputError("the text contains no word", hint="the corpus contains only spaces or control characters")
    log.info("%d words, %d distinct", words.total(), len(words))
    ordered = sorted(words)
    return WordCounts(ordered, np.array([words[word] for word in ordered], dtype=np.int64))


def front_end(tokenizer: Tokenizer) -> Callable[[str], list[str]]:
    """Return the function that turns text into the words that the tokenizer's model receives.

    Where there is no pre-tokenizer (as in Llama), words still end before each `▁`: pieces should not cross them.
    """
    normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer

    def split(text: str) -> list[str]:
        if normalizer is not None:
            text = normalizer.normalize_str(text)
        if pre_tokenizer is not None:
            return [word for word, _ in pre_tokenizer.pre_tokenize_str(text)]
        return [word for word in text.replace(METASPACE, " " + METASPACE).split(" ") if word]

    return split


def character_coverage(words: WordCounts, coverage: float) -> tuple[set[str], set[str]]:
    """Split the characters into the most frequent ones that make up `coverage` of the text, and the rest.

    Ties are broken by code point. The rule is SentencePiece's `character_coverage`.
    """
    counts: Counter[str] = Counter()
    for word, count in zip(words.words, words.counts.tolist(), strict=True):
        for character in word:
            counts[character] += count
    ordered = sorted(counts, key=lambda character: (-counts[character], character))
    reached = np.cumsum([counts[character] for character in ordered]) / max(counts.total(), 1)
    # with this tolerance a coverage of 1 includes every character despite rounding
    kept = int(np.searchsorted(reached, coverage - 1e-12)) + 1
    return set(ordered[:kept]), set(ordered[kept:])


def _stretches(sentences: pl.LazyFrame, space_before: bool) -> pl.DataFrame:
    """Distinct stretches between spaces with their counts, sorted; with the space before them if the front end needs it."""
    parts = pl.col("text").str.split(" ")
    first = sentences.select(parts.list.first().alias("stretch"))
    later = sentences.select(parts.list.slice(1).alias("stretch")).explode("stretch").drop_nulls()
    if space_before:
        later = later.select((" " + pl.col("stretch")).alias("stretch"))
    both = pl.concat([first, later]).filter(pl.col("stretch").str.strip_chars(" ") != "")
    return both.group_by("stretch").len().sort("stretch").collect(engine="streaming")


def _space_before(split: Callable[[str], list[str]]) -> bool:
    """Whether a stretch must keep the space before it to be split as inside a sentence."""
    inside = split("a b")[1:]
    return split("b") != inside and split(" b") == inside
