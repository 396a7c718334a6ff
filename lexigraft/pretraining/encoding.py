"""Token ids of many sentences: each stretch between two spaces is tokenized once, not once per occurrence.

A corpus repeats its words: thirty thousand verses hold seven hundred thousand stretches, of which thirty thousand differ. A
tokenizer that never looks across a space gives a stretch the same ids in every sentence, so a sentence's ids are those of its
stretches, one after the other. Some texts show whether a tokenizer is of that kind, and every thousandth sentence is also
tokenized as a whole and compared; if this fails, all sentences are tokenized as a whole.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

log = logging.getLogger(__name__)

_ANCHOR = "a"
_TOGETHER = 64
_KNOWN_AT_MOST = 1 << 20
_COMPARED = 1000


class LooksAcrossSpacesError(Exception):
    """A sentence's ids are not those of its stretches."""


@dataclass(frozen=True, slots=True)
class Ids:
    """Token ids of texts, one after the other.

    Attributes:
        flat: (n,) int32, ids of all texts.
        lengths: (m,) int64, number of ids of each text.
    """

    flat: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, encodings: Sequence[Encoding]) -> Ids:
        """Ids of encodings of the tokenizers package."""
        ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return cls(np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum())), lengths)

    def take(self, texts: NDArray[np.integer]) -> Ids:
        """Ids of some of the texts, in that order."""
        lengths = self.lengths[texts]
        starts = (np.cumsum(self.lengths) - self.lengths)[texts]
        ends = np.cumsum(lengths)
        places = np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
        return Ids(self.flat[places], lengths)

    def __add__(self, other: Ids) -> Ids:
        return Ids(np.concatenate([self.flat, other.flat]), np.concatenate([self.lengths, other.lengths]))


def encode(tokenizer: Tokenizer, blocks: Iterator[list[str]], fast: bool = True) -> Iterator[Ids]:
    """Yield the ids of each block of sentences, special tokens included, exactly as `tokenizer.encode` gives them.

    Args:
        tokenizer: without truncation and padding.
        blocks: sentences; memory is bounded by a block, and a block is searched for repeated words as one.
        fast: try to tokenize stretches instead of sentences.

    Raises:
        LooksAcrossSpacesError: stretches were tokenized and a sentence has other ids; call again without `fast`.
    """
    stretches = _Stretches(tokenizer) if fast and splits_at_spaces(tokenizer) else None
    if stretches is None:
        log.info("the tokenizer looks across spaces: sentences are tokenized as a whole")
    done = 0
    for texts in blocks:
        ids = stretches.encode(texts) if stretches is not None else Ids.of(tokenizer.encode_batch_fast(texts))
        if stretches is not None:
            _compare(tokenizer, texts, ids, np.arange(-done % _COMPARED, len(texts), _COMPARED))
        done += len(texts)
        yield ids


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether some texts have the ids of their stretches."""
    tried = [
        "a b",
        "ab cd, ef",
        "word 12 3.4 x-y",
        "één über naïve",
        "слово и дело",
        "말씀 하시되 이르시되",
        "word'd 'tis [a] (b)",
    ]
    try:
        _compare(tokenizer, tried, _Stretches(tokenizer).encode(tried), np.arange(len(tried)))
    except LooksAcrossSpacesError:
        return False
    return True


def _compare(tokenizer: Tokenizer, texts: list[str], ids: Ids, which: NDArray[np.int64]) -> None:
    whole = Ids.of(tokenizer.encode_batch_fast([texts[index] for index in which]))
    taken = ids.take(which)
    if not (np.array_equal(whole.lengths, taken.lengths) and np.array_equal(whole.flat, taken.flat)):
        raise LooksAcrossSpacesError


class _Stretches:
    """Ids of the stretches seen so far, and how sentences are put together from them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        bare, framed = (tokenizer.encode(_ANCHOR, add_special_tokens=special).ids for special in (False, True))
        at = next((start for start in range(len(framed)) if framed[start : start + len(bare)] == bare), None)
        if at is None or not bare:
            raise LooksAcrossSpacesError
        self.frame = np.array(framed[:at], np.int32), np.array(framed[at + len(bare) :], np.int32)
        first, later = tokenizer.encode("b", add_special_tokens=False).ids, self._later(["b"])
        self.first_differs = first != later.flat.tolist()
        added = sorted(token.content for token in tokenizer.get_added_tokens_decoder().values() if token.content)
        # sentences in which a space has no text on both sides, or with the text of a special token
        self.odd = ["^ ", " $", "  ", "^$", *map(re.escape, added)]
        self.characters: set[str] = set()
        self.nothing = ""
        self._forget()

    def _forget(self) -> None:
        self.known = pa.array([], pa.string())
        self.ids = Ids(np.empty(0, np.int32), np.empty(0, np.int64))

    def encode(self, texts: list[str]) -> Ids:
        """Ids of sentences with the special tokens around them."""
        sentences = pa.array(texts, pa.string())
        self._learn_characters(set("".join(texts)) - self.characters)
        odd = pc.match_substring_regex(sentences, "|".join(self.odd)).to_numpy(zero_copy_only=False)
        parts = pc.split_pattern(sentences, " ")
        counts = pc.list_value_length(parts).to_numpy().astype(np.int64)
        words = parts.flatten()
        words = words.filter(pa.array(np.repeat(~odd, counts)))
        counts = np.where(odd, 0, counts)
        first = np.cumsum(counts) - counts
        found = self._codes(words)
        ids = self.ids.take(found)
        if self.first_differs and len(found):
            ids = self._with_first(ids, words, first[counts > 0])
        whole = Ids.of(self.tokenizer.encode_batch_fast([texts[index] for index in np.flatnonzero(odd)]))
        return self._framed(ids, counts, odd, whole)

    def _learn_characters(self, characters: set[str]) -> None:
        """Learn which characters become spaces or nothing: sentences in which they change the places of spaces are odd."""
        self.characters |= characters
        spaces, nothing = [], []
        for character in sorted(characters - {" "}):
            # no character of Unicode composes with q
            seen = self.tokenizer.normalizer.normalize_str(f"q{character}q") if self.tokenizer.normalizer else character
            if character.isspace() or "▁" in seen or any(other.isspace() for other in seen):
                spaces.append(re.escape(character))
            elif seen == "qq":
                nothing.append(re.escape(character))
        if spaces:
            self.odd.append(f"[{''.join(spaces)}]")
        if nothing:
            self.nothing += "".join(nothing)
            self.odd.append(f"(^| )[{self.nothing}]+( |$)")

    def _codes(self, words: pa.Array) -> NDArray[np.int64]:
        """Row of each word among the known ones; new ones are learned."""
        coded = pc.dictionary_encode(words)
        distinct = coded.dictionary
        if len(self.known) + len(distinct) > _KNOWN_AT_MOST:
            self._forget()
        rows = pc.index_in(distinct, value_set=self.known)
        new = distinct.filter(pc.is_null(rows))
        if len(new):
            self.ids = self.ids + self._later(new.to_pylist())
            self.known = pa.concat_arrays([self.known, new])
            rows = pc.index_in(distinct, value_set=self.known)
        codes: NDArray[np.int64] = rows.to_numpy()[coded.indices.to_numpy()].astype(np.int64)
        return codes

    def _later(self, words: list[str]) -> Ids:
        """Ids of words after a space: many are tokenized as one text, and offsets assign the ids to them."""
        groups = [words[start : start + _TOGETHER] for start in range(0, len(words), _TOGETHER)]
        texts = [" ".join([_ANCHOR, *group]) for group in groups]
        parts = []
        for group, encoding in zip(groups, self.tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
            offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
            # the space before a word belongs to it, as in the token `▁word`
            starts = len(_ANCHOR) + np.cumsum([0, *(len(word) + 1 for word in group[:-1]), len(group[-1]) + 1])
            at = np.searchsorted(starts[:-1], offsets[:, 1] - 1, side="right")
            crosses = (np.diff(at) < 0).any() or (offsets[at > 0, 0] < starts[at[at > 0] - 1]).any()
            if crosses or (offsets[:, 1] <= offsets[:, 0]).any():
                raise LooksAcrossSpacesError
            ids = np.array(encoding.ids, np.int32)
            parts.append(Ids(ids[at > 0], np.bincount(at, minlength=len(group) + 1)[1:]))
        return Ids(np.concatenate([part.flat for part in parts]), np.concatenate([part.lengths for part in parts]))

    def _with_first(self, ids: Ids, words: pa.Array, first: NDArray[np.int64]) -> Ids:
        """Replace the ids of words at the beginning of a sentence by those that they have there."""
        coded = pc.dictionary_encode(words.take(pa.array(first)))
        begun = Ids.of(self.tokenizer.encode_batch_fast(coded.dictionary.to_pylist(), add_special_tokens=False))
        order = np.arange(len(ids.lengths))
        order[first] = len(order) + coded.indices.to_numpy()
        return (ids + begun).take(order)

    def _framed(self, ids: Ids, counts: NDArray[np.int64], odd: NDArray[np.bool_], whole: Ids) -> Ids:
        """Join words to sentences with special tokens around them, and insert the odd sentences."""
        before, after = self.frame
        of_word = np.repeat(np.arange(len(counts)), counts)
        lengths = np.bincount(of_word, weights=ids.lengths, minlength=len(counts)).astype(np.int64)
        lengths = np.where(odd, 0, lengths + len(before) + len(after))
        lengths[odd] = whole.lengths
        starts = np.cumsum(lengths) - lengths
        flat = np.empty(int(lengths.sum()), np.int32)
        is_text = np.ones(len(flat), bool)
        normal = starts[~odd]
        for place, token in enumerate(before):
            flat[normal + place], is_text[normal + place] = token, False
        ends = normal + lengths[~odd] - len(after)
        for place, token in enumerate(after):
            flat[ends + place], is_text[ends + place] = token, False
        inside = np.repeat(odd, lengths)
        flat[inside], is_text[inside] = whole.flat, False
        flat[is_text] = ids.flat
        return Ids(flat, lengths)
