"""Segmenting many texts in few calls of `tokenizers`: texts are joined, with a token between them that is made known as such.

A call costs more than the segmentation of a word. What is made known to a tokenizer as a token of its own is cut out of a text
before anything else happens to it, and what lies between is normalized, split and segmented as if it stood alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.tokenizers.segmentation.ragged import Ragged, joined
from lexigraft.tokenizers.surfaces import bytes_by_character

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SEPARATOR = "\ufff1"
"""An unassigned code point that nothing joins with or is ordered across; texts that hold it are segmented one by one."""
_TEXTS_A_STRETCH = 100
_STRETCHES_AT_A_TIME = 200
# of a token that stands for no bytes: no text is so long
_NO_BYTES = 1 << 40


class SeparatorLostError(Exception):
    """Texts that were joined did not come back one by one."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"of {expected} joined texts {found} came back")


class JoinedTexts:
    """Segments texts that are joined."""

    def __init__(self, tokenizer: Tokenizer, ids: dict[int, int]) -> None:
        """Take a tokenizer that nobody else uses, and the ids that it has given otherwise than they should be."""
        from tokenizers import AddedToken

        tokenizer.add_special_tokens([AddedToken(SEPARATOR, special=True, normalized=False)])
        self._tokenizer = tokenizer
        self._separator = _id(tokenizer, SEPARATOR)
        self._ids = np.arange(max(tokenizer.get_vocab_size(with_added_tokens=True), self._separator + 1), dtype=np.int32)
        self._ids[list(ids)] = list(ids.values())

    def segment(self, texts: pl.Series) -> Ragged:
        """Segment texts that do not hold the separator."""
        return self.segment_stretches(stretches(texts), len(texts))

    def segment_stretches(self, texts: Iterable[str], count: int) -> Ragged:
        """Segment `count` texts, given as stretches of text in which a separator follows each.

        Raises:
            SeparatorLostError: it cannot be told where texts end.
        """
        values, ends, found = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)], 0
        remaining = iter(texts)
        while batch := list(islice(remaining, _STRETCHES_AT_A_TIME)):
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                ids = np.array(encoding.ids, dtype=np.int32)
                stops = np.flatnonzero(ids == self._separator)
                values.append(self._ids[ids[ids != self._separator]])
                # counted without the separators before
                ends.append(found + stops - np.arange(len(stops)))
                found += len(values[-1])
        result = Ragged(np.concatenate(values), np.concatenate(ends))
        if len(result) != count or (count and result.ends[-1] != found):
            raise SeparatorLostError(len(result), count)
        return result


class JoinedBytes:
    """Segments joined texts of bytes with the BPE model of a byte-level tokenizer, whose tokens tell where texts end.

    A token is as long as the bytes that it stands for, so texts can be split at the separator like words, which costs less than
    a token for each separator.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer as RustTokenizer
        from tokenizers import pre_tokenizers

        self._tokenizer = RustTokenizer(tokenizer.model)
        self._tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(SEPARATOR)
        vocabulary = self._tokenizer.get_vocab()
        self._lengths = np.full(max(vocabulary.values(), default=-1) + 1, _NO_BYTES, dtype=np.int64)
        characters, unknown = frozenset(bytes_by_character()), getattr(tokenizer.model, "unk_token", None)
        for token, index in vocabulary.items():
            if characters.issuperset(token) and token != unknown:
                self._lengths[index] = len(token)

    def segment_stretches(self, texts: Iterable[str], ends: NDArray[np.int64]) -> Ragged:
        """Segment texts whose bytes end at `ends`, given as stretches with a separator after each text.

        Raises:
            SeparatorLostError: tokens and bytes do not agree.
        """
        ids, remaining = [np.zeros(0, dtype=np.int32)], iter(texts)
        while batch := list(islice(remaining, _STRETCHES_AT_A_TIME)):
            found = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            ids += [np.array(encoding.ids, dtype=np.int32) for encoding in found]
        values = np.concatenate(ids)
        reached = np.cumsum(self._lengths[values])
        stops = np.searchsorted(reached, ends)
        right = int((reached[np.minimum(stops, len(reached) - 1)] == ends).sum()) if len(reached) else 0
        if right < len(ends) or (len(ends) and reached[-1] != ends[-1]):
            raise SeparatorLostError(right, len(ends))
        return Ragged(values, stops + 1)


def stretches(texts: pl.Series) -> Iterator[str]:
    """Stretches of some hundred texts, with a separator after each."""
    for start in range(0, len(texts), _TEXTS_A_STRETCH):
        yield joined(texts[start : start + _TEXTS_A_STRETCH], SEPARATOR) + SEPARATOR


def cut(text: str, ends: NDArray[np.int64]) -> Iterator[str]:
    """Stretches of a long text of texts and separators, each separator ending at one of `ends`."""
    start = 0
    for end in [*ends[_TEXTS_A_STRETCH - 1 : -1 : _TEXTS_A_STRETCH].tolist(), *ends[-1:].tolist()]:
        yield text[start:end]
        start = end


def whole_pipeline(tokenizer: Tokenizer) -> JoinedTexts | None:
    """All of a tokenizer: normalizer, pre-tokenizer, model and added tokens; None where texts depend on where they stand."""
    from tokenizers import Tokenizer as RustTokenizer

    front = description(tokenizer)
    # a prefix for the first word of the whole text only, which is what the first text of a stretch would get
    if '"prepend_scheme": "first"' in json.dumps(front):
        return None
    whole = RustTokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        whole.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        whole.pre_tokenizer = tokenizer.pre_tokenizer
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    for _, token in added:
        (whole.add_special_tokens if token.special else whole.add_tokens)([token])
    return JoinedTexts(whole, {_id(whole, token.content): index for index, token in added})


def model_alone(tokenizer: Tokenizer) -> JoinedTexts:
    """The model of a tokenizer, for texts that are normalized and split already."""
    from tokenizers import Tokenizer as RustTokenizer

    return JoinedTexts(RustTokenizer(tokenizer.model), {})


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"{token!r} did not become a token")
    return found


def description(tokenizer: Tokenizer) -> dict[str, Any]:
    """What `tokenizer.json` says of normalizer and pre-tokenizer (keys `normalizer`, `pre_tokenizer`)."""
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers import models

    bare = RustTokenizer(models.BPE())
    if tokenizer.normalizer is not None:
        bare.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        bare.pre_tokenizer = tokenizer.pre_tokenizer
    found: dict[str, Any] = json.loads(bare.to_str())
    return {key: found[key] for key in ("normalizer", "pre_tokenizer")}
