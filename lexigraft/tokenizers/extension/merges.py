"""Learning byte-pair merges (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) on counted words with `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Merge = tuple[tuple[int, ...], tuple[int, ...]]

# pairs seen once are accidents
_MIN_FREQUENCY = 2
# the trainer takes running text, so words are repeated; beyond this many, all counts are divided by the same number
_MOST_WORDS = 50_000_000
_WORDS_AT_A_TIME = 10_000
# characters from here on are neither spaces nor combining marks that the trainer would treat in any special way
_FIRST_CHARACTER, _SURROGATES, _SURROGATE_COUNT = 0x3400, 0xD800, 0x800


def learn_merges(words: Sequence[Sequence[int]], counts: NDArray[np.int64], merges: int) -> list[Merge]:
    """Learn merges of neighboring symbols, most frequent pair first; ties go to the smaller symbols.

    Args:
        words: each a sequence of symbols, integers from 0 (for example token ids).
        counts: how often each word occurs, (len(words),) int64.
        merges: how many to learn at most.

    Returns:
        Merges in their order, each of two sequences of symbols; fewer than requested once no pair occurs twice.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    # every symbol is written as one character: the trainer orders those by code point and then depends on counts alone,
    # while with `continuing_subword_prefix` its ties would be broken by the order of a hash table
    written = ["".join(map(_character, word)) for word in words]
    symbols = len({character for word in written for character in word})
    trainer = trainers.BpeTrainer(
        vocab_size=symbols + merges, min_frequency=_MIN_FREQUENCY, special_tokens=[], show_progress=False
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_running_text(written, counts), trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(_symbols(left), _symbols(right)) for left, right in learned]


def _running_text(words: Sequence[str], counts: NDArray[np.int64]) -> Iterator[str]:
    divisor = max(1, int(counts.sum()) // _MOST_WORDS)
    for word, count in zip(words, (counts // divisor).tolist(), strict=True):
        for start in range(0, count, _WORDS_AT_A_TIME):
            yield f"{word} " * min(_WORDS_AT_A_TIME, count - start)


def _character(symbol: int) -> str:
    code = symbol + _FIRST_CHARACTER
    return chr(code if code < _SURROGATES else code + _SURROGATE_COUNT)


def _symbols(text: str) -> tuple[int, ...]:
    codes = (ord(character) for character in text)
    return tuple((code if code < _SURROGATES else code - _SURROGATE_COUNT) - _FIRST_CHARACTER for code in codes)
