"""Entities in tag sequences, counted as seqeval counts them in its default mode, on arrays.

The rules are those of conlleval.pl (Tjong Kim Sang and Buchholz 2000, https://aclanthology.org/W00-0726) as seqeval 1.2
(https://github.com/chakki-works/seqeval) states them: a tag is a prefix, its first character, and a type, what follows the
first hyphen after it (or the prefix). Prefixes other than B, I, E, S and O continue an entity as long as the type stays, which
is why published part-of-speech scores can be entity scores: NOUN is prefix N of type OUN, and nouns in a row are one entity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

Integers = NDArray[np.int64]
OUTSIDE = "O"
_OF_WORDS = ("words", "right_words", "marked", "predicted_marked", "right_marked")
COUNTS = pl.Schema(dict.fromkeys((*_OF_WORDS, "entities", "predicted_entities", "right_entities"), pl.Int64))
"""Of each sentence: words, those with the right tag; words whose tag is not O (by gold, by
prediction, by both with the same tag); entities (by gold, by prediction, by both: same place and type)."""


def sentence_counts(gold: Integers, predicted: Integers, starts: Integers, tags: Sequence[str]) -> pl.DataFrame:
    """Count what every score of tags is made of.

    Args:
        gold, predicted: (words,) indices into `tags`, sentences one after the other.
        starts: (sentences + 1,) where each sentence begins.
        tags: the tag set.

    Returns:
        a row per sentence, columns `COUNTS`.
    """
    right = gold == predicted
    marked = np.array([tag != OUTSIDE for tag in tags])
    by_gold, by_prediction = _Entities(gold, starts, tags), _Entities(predicted, starts, tags)
    both = by_gold.ends & by_prediction.ends & (by_gold.types == by_prediction.types) & (by_gold.begins == by_prediction.begins)
    of_words = [np.ones_like(right), right, marked[gold], marked[predicted], marked[gold] & right]
    flags = np.stack([*of_words, by_gold.ends, by_prediction.ends, both])
    totals = np.cumsum(np.pad(flags, ((0, 0), (1, 0))), axis=1, dtype=np.int64)
    return pl.DataFrame(np.diff(totals[:, starts]).T, schema=COUNTS, orient="row")


class _Entities:
    """Of each word: whether an entity ends with it, of which type, and at which word that began.

    Sentences are set apart by one more O each, so that the word before a place in the sequence is its predecessor or an O.
    """

    def __init__(self, ids: Integers, starts: Integers, tags: Sequence[str]) -> None:
        types = sorted({_type(tag) for tag in [*tags, OUTSIDE]})
        prefix_of = np.array([ord(tag[0]) for tag in [*tags, OUTSIDE]])
        type_of = np.array([types.index(_type(tag)) for tag in [*tags, OUTSIDE]])
        # places of the words in the sequence with an O after each sentence and one before all
        sentence = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        places = np.arange(len(ids)) + sentence + 1
        sequence = np.full(len(ids) + len(starts), len(tags))
        sequence[places] = ids
        prefix, kind = prefix_of[sequence], type_of[sequence]
        before, now, same = prefix[:-1], prefix[1:], kind[:-1] == kind[1:]
        began = _either(now, "BS") | (_either(before, "ESO") & _either(now, "EI")) | (~_either(now, "O.") & ~same)
        ended = _either(before, "ES") | (_either(before, "BI") & _either(now, "BSO")) | (~_either(before, "O.") & ~same)
        # an entity belongs to the last beginning before its end, wherever that is
        last_begin = np.maximum.accumulate(np.where(began, np.arange(1, len(sequence)), 1))
        self.ends = ended[places]
        self.types = kind[places]
        self.begins = last_begin[places - 1]


def _type(tag: str) -> str:
    return tag[1:].split("-", maxsplit=1)[-1] or "_"


def _either(prefixes: Integers, letters: str) -> NDArray[np.bool_]:
    return np.isin(prefixes, [ord(letter) for letter in letters])
