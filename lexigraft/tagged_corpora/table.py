"""Tagged sentences as flat lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sentence = tuple[list[str], list[str]]
"""Words and their tags."""
Lines = Iterable[tuple[int, str]]
"""Numbers of lines, counted from 1, and their text without its end."""


@dataclass(frozen=True, slots=True)
class TaggedSentences:
    """Sentences one after the other.

    Attributes:
        words, tags: of all sentences, of equal length.
        starts: (sentences + 1,) int64; sentence i holds the words starts[i] … starts[i + 1] - 1.
    """

    words: list[str]
    tags: list[str]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def tag_ids(self, tags: list[str]) -> NDArray[np.int64]:
        """(words,) index of each word's tag in `tags`, which must hold all of them."""
        places = {tag: place for place, tag in enumerate(tags)}
        return np.fromiter((places[tag] for tag in self.tags), dtype=np.int64, count=len(self.tags))


def tagged_sentences(sentences: Iterable[Sentence]) -> TaggedSentences:
    """Join (words, tags) of sentences."""
    words: list[str] = []
    tags: list[str] = []
    starts = [0]
    for sentence_words, sentence_tags in sentences:
        words += sentence_words
        tags += sentence_tags
        starts.append(len(words))
    return TaggedSentences(words, tags, np.array(starts, dtype=np.int64))


def joined(parts: Iterable[TaggedSentences]) -> TaggedSentences:
    """All sentences of `parts`, in their order."""
    words: list[str] = []
    tags: list[str] = []
    starts = [np.zeros(1, dtype=np.int64)]
    for part in parts:
        starts.append(part.starts[1:] + len(words))
        words += part.words
        tags += part.tags
    return TaggedSentences(words, tags, np.concatenate(starts))
