"""Words to tokens: each word is tokenized on its own, and its first token carries the tag.

A sentence longer than the model reads at once is cut between words into pieces, as in XTREME's preprocessing (Hu et al. 2020,
https://arxiv.org/abs/2003.11080), so that every word gets a tag whatever the tokenizer; a word that alone is too long loses its
last tokens, and a word of which the tokenizer leaves nothing is its unknown token.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.evaluation.sentences import ragged, side_by_side, special_tokens
from lexigraft.tagged_corpora.table import TaggedSentences

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Encoded sentences, a long one in several pieces. Words keep their order.

    Attributes:
        tokens: (N,) ids of all pieces, without special tokens.
        starts: (pieces + 1,) where each piece begins in `tokens`.
        first: (words,) place of each word's first token in `tokens`.
        words: (pieces + 1,) where each piece begins among the words.
        per_sentence: (sentences,) pieces of each sentence, 1 for one that was not cut.
        shortened: words that lost tokens, as they alone are longer than the model reads at once.
    """

    tokens: Integers
    starts: Integers
    first: Integers
    words: Integers
    per_sentence: Integers
    shortened: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Integers:
        """(pieces,) tokens of each piece, special ones left out."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces side by side.

    Attributes:
        input_ids, attention_mask: (B, L) int64, L the longest with its special tokens.
        positions: (n,) places of first tokens in the flattened B * L positions.
        words: (n,) the words they belong to, indices into all words.
    """

    input_ids: Integers
    attention_mask: Integers
    positions: Integers
    words: Integers


class WordEncoder:
    """Encodes sentences word by word with a fast tokenizer, and puts them into batches."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Read special tokens and room from the tokenizer.

        Args:
            tokenizer: a fast one of transformers.
            max_length: tokens at once, special ones included.

        Raises:
            InputError: the tokenizer cannot pad, has no unknown token and needs one, or leaves no room.
        """
        self.backend = tokenizer.backend_tokenizer
        if tokenizer.pad_token_id is None:
            raise InputError("the tokenizer has no padding token", hint="name a tokenizer with one: batches are padded")
        self.pad, self.unknown = int(tokenizer.pad_token_id), tokenizer.unk_token_id
        # a byte-level tokenizer takes a word without a space before it for the inside of one
        front = [json.loads(self.backend.to_str()).get(part) for part in ("normalizer", "pre_tokenizer")]
        self.space = " " if '"ByteLevel"' in json.dumps(front) else ""
        self.before, self.after = special_tokens(self.backend, tokenizer.unk_token or tokenizer.pad_token)
        self.room = max_length - len(self.before) - len(self.after)
        if self.room < 1:
            raise InputError(f"max_length {max_length} leaves no room for words", hint="set a larger one")

    def encode(self, sentences: TaggedSentences) -> Pieces:
        """Encode all words of `sentences`; each distinct word is tokenized once."""
        index: dict[str, int] = {}
        word_of = np.fromiter((index.setdefault(word, len(index)) for word in sentences.words), dtype=np.int64)
        encodings = self.backend.encode_batch([self.space + word for word in index], add_special_tokens=False)
        ids = [encoding.ids or self._unknown(word) for word, encoding in zip(index, encodings, strict=True)]
        too_long = np.array([len(word) > self.room for word in ids], dtype=bool)
        ids = [word[: self.room] for word in ids]
        counts = np.array([len(word) for word in ids], dtype=np.int64)
        begins, lengths = np.cumsum(counts) - counts, counts[word_of]
        flat = np.concatenate([np.asarray(word, dtype=np.int64) for word in ids])
        tokens = flat[np.repeat(begins[word_of], lengths) + ragged(lengths)[1]]
        bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        piece_words, per_sentence = self._cut(sentences.starts, bounds)
        return Pieces(tokens, bounds[piece_words], bounds[:-1], piece_words, per_sentence, int(too_long[word_of].sum()))

    def batch(self, pieces: Pieces, chosen: Integers, width: int | None = None) -> Batch:
        """Put pieces side by side.

        Args:
            pieces: of `encode`.
            chosen: (B,) which of them.
            width: tokens of each row, special ones included (those of the longest by default).
        """
        lengths = pieces.lengths[chosen]
        input_ids, mask = side_by_side(
            pieces.tokens, pieces.starts[chosen], lengths, self.before, self.after, self.pad, width or 0
        )
        counts = pieces.words[chosen + 1] - pieces.words[chosen]
        row, offset = ragged(counts)
        words = np.repeat(pieces.words[chosen], counts) + offset
        inside = pieces.first[words] - np.repeat(pieces.starts[chosen], counts)
        return Batch(input_ids, mask, row * input_ids.shape[1] + len(self.before) + inside, words)

    def unknown_words(self, pieces: Pieces) -> int:
        """Words of which some token is the unknown one."""
        if self.unknown is None:
            return 0
        return int(np.logical_or.reduceat(pieces.tokens == self.unknown, pieces.first).sum())

    def _unknown(self, word: str) -> list[int]:
        if self.unknown is None:
            raise InputError(
                f"the tokenizer leaves nothing of the word {word!r} and has no unknown token", hint="leave such words out"
            )
        return [int(self.unknown)]

    def _cut(self, starts: Integers, bounds: Integers) -> tuple[Integers, Integers]:
        """Where pieces begin among the words, and how many each sentence has; word i has tokens bounds[i] to bounds[i + 1]."""
        cuts: list[int] = []
        per_sentence = np.ones(len(starts) - 1, dtype=np.int64)
        for sentence in np.flatnonzero(np.diff(bounds[starts]) > self.room):
            begin = bounds[starts[sentence]]
            for word in range(int(starts[sentence]), int(starts[sentence + 1])):
                if bounds[word + 1] - begin > self.room:
                    cuts.append(word)
                    per_sentence[sentence] += 1
                    begin = bounds[word]
        return np.sort(np.concatenate([starts, np.array(cuts, dtype=np.int64)])), per_sentence
