"""Segmenting many words: what a tokenizer makes of each.

Unigram models after SentencePiece's kind of spaces are evaluated with arrays, several times faster than by the tokenizer. All
other tokenizers, and texts that are not that simple, get one call of the tokenizer per thousand texts. Both give the same; a
sample of what arrays give is compared with the tokenizer nevertheless.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.tokenizers.segmentation.normalizing import SEPARATOR, Normalizer, description
from lexigraft.tokenizers.segmentation.ragged import Integers, Ragged, distinct, in_place
from lexigraft.tokenizers.segmentation.viterbi import UnigramSegmenter
from lexigraft.tokenizers.surfaces import METASPACE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

_SAMPLE = 500
# the tree of prefixes has as many levels as the longest string has characters
_LONGEST = 64
# larger batches take longer: their encodings do not stay in the processor's cache
_AT_A_TIME = 1_000
# letters but those that a normalizer could take for marks on the space: property Grapheme_Cluster_Break, Unicode Annex 29
_SPACE_FIRST = r"^ [\p{L}\p{N}--[\x{E33}\x{EB3}\x{FF9E}\x{FF9F}]]"


class Segmenter:
    """Segments texts as `tokenizer.encode(text, add_special_tokens=False)` does."""

    def __init__(self, tokenizer: Tokenizer, *, arrays: bool = True) -> None:
        """Prepare for a tokenizer; without `arrays` everything is left to the tokenizer."""
        self._tokenizer = tokenizer
        self._arrays = _UnigramArrays.of(tokenizer) if arrays else None
        log.info("words are segmented %s", "with arrays" if self._arrays else "by the tokenizer")

    def segment(self, texts: pl.Series) -> tuple[Ragged, Integers]:
        """Segment texts; those that are known to be segmented in the same way are segmented once.

        Returns:
            token ids of each distinct segmented text, without special tokens, and (N,) the number of each text among these.

        Raises:
            SeparatorLostError: arrays are used and normalized texts could not be told apart.
        """
        if self._arrays is None:
            texts, numbers = distinct(texts)
            return self._by_tokenizer(texts), numbers
        texts, numbers = distinct(self._arrays.canonical(texts))
        done, found = self._arrays.segment(texts)
        others = np.setdiff1d(np.arange(len(texts)), done, assume_unique=True)
        return in_place([(done, found), (others, self._by_tokenizer(texts.gather(others)))], len(texts)), numbers

    def differs(self, texts: pl.Series, found: Ragged, numbers: Integers) -> str | None:
        """The first text of an evenly spaced sample that the tokenizer itself segments otherwise; None if there is none."""
        if self._arrays is None:
            return None
        rows = np.unique(np.linspace(0, len(texts) - 1, min(_SAMPLE, len(texts))).astype(np.int64))
        for text, ids in zip(texts.gather(rows), found.take(numbers[rows]).tolist(), strict=True):
            if self._tokenizer.encode(text, add_special_tokens=False).ids != ids:
                return str(text)
        return None

    def _by_tokenizer(self, texts: pl.Series) -> Ragged:
        values, lengths = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
        with _without_collection():
            for start in range(0, len(texts), _AT_A_TIME):
                given = texts[start : start + _AT_A_TIME].to_list()
                ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(given, add_special_tokens=False)]
                lengths.append(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
                values.append(np.fromiter(chain.from_iterable(ids), dtype=np.int32))
        return Ragged(np.concatenate(values), np.cumsum(np.concatenate(lengths)))


class _UnigramArrays:
    """A unigram tokenizer whose pre-tokenizer makes `▁` of a space and begins every text with one.

    Segmented here: texts that become a single pre-token, hold no added token and are covered by pieces.
    """

    def __init__(self, tokenizer: Tokenizer, normalizer: Normalizer, words_only: bool) -> None:
        self._normalizer, self._words_only = normalizer, words_only
        self._added = _added_tokens(tokenizer)
        tokens = tokenizer.get_added_tokens_decoder().values()
        self._added_after_normalizing = tokenizer.normalizer is not None and any(token.normalized for token in tokens)
        with _without_collection():
            pieces = [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
        self._model = UnigramSegmenter(pieces)

    @staticmethod
    def of(tokenizer: Tokenizer) -> _UnigramArrays | None:
        """None for a tokenizer of another kind."""
        from tokenizers.models import Unigram

        model, described = tokenizer.model, description(tokenizer)
        if not isinstance(model, Unigram) or model.alpha is not None or model.nbest_size is not None:
            return None
        part = described["pre_tokenizer"] or {}
        parts = part["pretokenizers"] if part.get("type") == "Sequence" else [part]
        kinds, last = [part.get("type") for part in parts], parts[-1]
        if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
            return None
        if last["replacement"] != METASPACE or last["prepend_scheme"] != "always" or not last["split"]:
            return None
        try:
            return _UnigramArrays(tokenizer, Normalizer(described["normalizer"]), words_only=len(parts) > 1)
        except ValueError:
            return None

    def canonical(self, texts: pl.Series) -> pl.Series:
        """Texts without a space before a letter or number: it would become the `▁` that begins a text anyway."""
        if self._added_after_normalizing:
            return texts
        dropped = pl.when(pl.col("text").str.contains(_SPACE_FIRST)).then(pl.col("text").str.slice(1)).otherwise("text")
        shorter = pl.DataFrame({"text": texts}).select(dropped).to_series()
        return shorter.zip_with(pl.Series(~_contains_any(texts, self._added)), texts)

    def segment(self, texts: pl.Series) -> tuple[Integers, Ragged]:
        """Rows of the texts that could be segmented so, not falling, and what they are segmented into."""
        rows = np.flatnonzero(~_contains_any(texts, [*self._added, SEPARATOR]))
        normalized = self._normalizer(texts.gather(rows))
        strings, simple = self._pre_tokens(normalized)
        simple &= ~_contains_any(normalized, self._added) & (strings.str.len_chars() <= _LONGEST).to_numpy()
        rows, (strings, numbers) = rows[simple], distinct(strings.filter(pl.Series(simple)))
        order = strings.arg_sort().to_numpy()
        found, known = self._model.segment(strings.gather(order))
        place = np.argsort(order)[numbers]
        return rows[known[place]], found.take(place[known[place]])

    def _pre_tokens(self, texts: pl.Series) -> tuple[pl.Series, NDArray[np.bool_]]:
        """What each text becomes, and whether that is a single pre-token."""
        if self._words_only:
            texts = texts.str.strip_chars()
            return METASPACE + texts, ((texts != "") & ~texts.str.contains(rf"[\s{METASPACE}]")).to_numpy()
        marked = pl.DataFrame({"text": texts.str.replace_all(" ", METASPACE, literal=True)})
        begun = pl.when(pl.col("text").str.starts_with(METASPACE)).then("text").otherwise(METASPACE + pl.col("text"))
        strings = marked.select(begun).to_series()
        # on a text of nothing the pre-tokenizer is not run
        return strings, ((texts != "") & ~strings.str.slice(1).str.contains(METASPACE, literal=True)).to_numpy()


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage collection while many small lists are made: looking through them again and again takes much of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
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
