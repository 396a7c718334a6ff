"""Matching in the plain way, one call of the tokenizer for each variant of each word: what the library is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def variants(word: str) -> tuple[str, str, str]:
    """The three surface forms of a word that are segmented: as it is, after a space, and capitalized.

    A word that begins with a space (`$` in ColexNet+ keys) is capitalized at its start without the space, any other after one.
    """
    bounded = word.startswith(" ") and len(word) > 1
    capitalized = word[1].upper() + word[2:] if bounded else " " + word[:1].upper() + word[1:]
    return word, " " + word, capitalized


def plain_matches(encode: Callable[[str], Iterable[int]], words: Iterable[tuple[int, str]]) -> dict[tuple[int, int], int]:
    """(token, index of the word) -> in how many of the word's variants the token occurs; `encode` gives a text's token ids."""
    counts: dict[tuple[int, int], int] = {}
    for index, word in words:
        for form in variants(word):
            for token in set(encode(form)):
                counts[token, index] = counts.get((token, index), 0) + 1
    return counts
