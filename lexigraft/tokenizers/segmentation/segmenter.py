"""Segmenting many words: what a tokenizer makes of each, at a fraction of the time of one call a word.

Three ways, each for the texts that the one before cannot take:

1. with arrays: normalize all texts at once, split them into pre-tokens, and segment each distinct pre-token once, with the
   tokenizer's own model or, for unigram models, with `viterbi.UnigramSegmenter`;
2. joined: the whole tokenizer, many texts a call;
3. one by one.

All three give the same; a sample of every batch is compared with single calls of the tokenizer nevertheless.
"""

from __future__ import annotations

import gc
import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.tokenizers.segmentation.front_ends import ByteLevel, FrontEnd, front_end
from lexigraft.tokenizers.segmentation.joined import SEPARATOR, JoinedBytes, description, model_alone, whole_pipeline
from lexigraft.tokenizers.segmentation.normalizing import Normalizer
from lexigraft.tokenizers.segmentation.ragged import Integers, Ragged, distinct, in_place
from lexigraft.tokenizers.segmentation.viterbi import UnigramSegmenter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

_SAMPLE = 500
# the tree of prefixes has as many levels as the longest string has characters
_LONGEST = 64
_AT_A_TIME = 20_000


class Segmenter:
    """Segments texts as `tokenizer.encode(text, add_special_tokens=False)` does."""

    def __init__(self, tokenizer: Tokenizer, *, one_by_one: bool = False) -> None:
        """Prepare the fast ways that fit a tokenizer; `one_by_one` prepares none."""
        self.one_by_one = one_by_one
        self._tokenizer = tokenizer
        self._joined = None if one_by_one else whole_pipeline(tokenizer)
        self._arrays = None if one_by_one else _Arrays.of(tokenizer)
        if not one_by_one:
            log.info(
                "words are segmented %s", "with arrays" if self._arrays else "many a call" if self._joined else "one by one"
            )

    def segment(self, texts: pl.Series) -> tuple[Ragged, Integers]:
        """Segment texts; those that are known to be segmented in the same way are segmented once.

        Returns:
            token ids of each distinct segmented text, without special tokens, and (N,) the number of each text among these.

        Raises:
            SeparatorLostError: joined texts could not be told apart again.
        """
        if self._arrays is not None:
            texts = self._arrays.canonical(texts)
        texts, numbers = distinct(texts)
        alone = np.full(len(texts), self.one_by_one or self._joined is None)
        alone |= texts.str.contains(SEPARATOR, literal=True).to_numpy()
        rows = np.flatnonzero(~alone)
        parts = [(np.flatnonzero(alone), self._one_by_one(texts.filter(pl.Series(alone))))]
        if self._arrays is not None:
            done, part = self._arrays.segment(texts.gather(rows))
            parts.append((rows[done], part))
            rows = rows[~done]
        if self._joined is not None:
            parts.append((rows, self._joined.segment(texts.gather(rows))))
        return in_place(parts, len(texts)), numbers

    def differs(self, texts: pl.Series, found: Ragged, numbers: Integers) -> str | None:
        """The first text of an evenly spaced sample that the tokenizer itself segments otherwise; None if there is none."""
        rows = np.unique(np.linspace(0, len(texts) - 1, min(_SAMPLE, len(texts))).astype(np.int64))
        for text, ids in zip(texts.gather(rows), found.take(numbers[rows]).tolist(), strict=True):
            if self._tokenizer.encode(text, add_special_tokens=False).ids != ids:
                return str(text)
        return None

    def _one_by_one(self, texts: pl.Series) -> Ragged:
        ids: list[list[int]] = []
        for start in range(0, len(texts), _AT_A_TIME):
            given = texts[start : start + _AT_A_TIME].to_list()
            ids += [encoding.ids for encoding in self._tokenizer.encode_batch_fast(given, add_special_tokens=False)]
        ends = np.cumsum(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
        return Ragged(np.array([token for row in ids for token in row], dtype=np.int32), ends)


class _Arrays:
    """Normalizer and pre-tokenizer with arrays, and a model that segments distinct pre-tokens."""

    def __init__(self, tokenizer: Tokenizer, normalizer: Normalizer, front: FrontEnd) -> None:
        from tokenizers.models import BPE, Unigram

        self._normalizer, self._front = normalizer, front
        self._added = _added_tokens(tokenizer)
        tokens = tokenizer.get_added_tokens_decoder().values()
        self._added_after_normalizing = tokenizer.normalizer is not None and any(token.normalized for token in tokens)
        self._model = model_alone(tokenizer)
        model, byte_level = tokenizer.model, isinstance(front, ByteLevel)
        self._bytes = JoinedBytes(tokenizer) if byte_level and isinstance(model, BPE) else None
        self._unigram: UnigramSegmenter | None = None
        if not byte_level and isinstance(model, Unigram) and model.alpha is None and model.nbest_size is None:
            self._unigram = UnigramSegmenter(_pieces(tokenizer))

    @staticmethod
    def of(tokenizer: Tokenizer) -> _Arrays | None:
        """None where normalizer or pre-tokenizer are of other kinds."""
        described = description(tokenizer)
        front = front_end(described["pre_tokenizer"])
        try:
            normalizer = Normalizer(described["normalizer"])
        except ValueError:
            return None
        return None if front is None else _Arrays(tokenizer, normalizer, front)

    def canonical(self, texts: pl.Series) -> pl.Series:
        """Texts in one spelling where several are segmented in the same way."""
        if self._added_after_normalizing:
            return texts
        return self._front.canonical(texts).zip_with(pl.Series(~_contains_any(texts, self._added)), texts)

    def segment(self, texts: pl.Series) -> tuple[NDArray[np.bool_], Ragged]:
        """(N,) bool, the texts that could be segmented so, and what they are segmented into."""
        normalized = self._normalizer(texts)
        # what an added token in a text does, the whole tokenizer knows
        plain = ~(_contains_any(texts, self._added) | _contains_any(normalized, self._added))
        rows = np.flatnonzero(plain)
        found = self._front.split(normalized.filter(pl.Series(plain)))
        done = np.zeros(len(texts), dtype=bool)
        done[rows[found.simple]] = True
        strings, numbers = distinct(found.strings)
        pieces = self._segment_distinct(strings).take(numbers)
        place = np.cumsum(found.simple) - 1
        return done, pieces.concatenated(place[found.texts], int(found.simple.sum()))

    def _segment_distinct(self, strings: pl.Series) -> Ragged:
        if self._bytes is not None:
            ends = np.cumsum(strings.str.len_bytes().to_numpy(), dtype=np.int64)
            return self._bytes.segment_stretches(self._front.spelled(strings), ends)
        if self._unigram is None:
            return self._model.segment_stretches(self._front.spelled(strings), len(strings))
        short = np.flatnonzero((strings.str.len_chars() <= _LONGEST).to_numpy())
        order = short[strings.gather(short).arg_sort().to_numpy()]
        best, known = self._unigram.segment(strings.gather(order))
        rows = np.flatnonzero(known)
        rest = np.setdiff1d(np.arange(len(strings)), order[rows], assume_unique=True)
        others = strings.gather(rest)
        by_model = self._model.segment_stretches(self._front.spelled(others), len(others))
        return in_place([(order[rows], best.take(rows)), (rest, by_model)], len(strings))


def _pieces(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """Pieces and scores of a unigram model by id."""
    collecting = gc.isenabled()
    # a list for each piece: looking through all of them again and again takes most of the time
    gc.disable()
    try:
        return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    finally:
        if collecting:
            gc.enable()


def _added_tokens(tokenizer: Tokenizer) -> list[str]:
    """Added tokens as they are looked for in texts, some of them in normalized texts and normalized themselves."""
    tokens = tokenizer.get_added_tokens_decoder().values()
    normalizer = tokenizer.normalizer
    normalized = [normalizer.normalize_str(token.content) for token in tokens if token.normalized] if normalizer else []
    return [text for text in dict.fromkeys([*(token.content for token in tokens), *normalized]) if text]


def _contains_any(texts: pl.Series, tokens: list[str]) -> NDArray[np.bool_]:
    if not tokens:
        return np.zeros(len(texts), dtype=bool)
    found: NDArray[np.bool_] = texts.str.contains_any(tokens).to_numpy()
    return found
