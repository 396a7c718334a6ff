"""CoNLL-U (https://universaldependencies.org/format.html): syntactic words with their universal or language-specific tags.

Lines of multiword tokens (`3-4`) and of empty nodes (`5.1`) carry no tag of a word: they are left out, their ids checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lexigraft.errors import InputError
from lexigraft.tagged_corpora.table import Lines, Sentence

COLUMNS = {"upos": 3, "xpos": 4}
_WIDTH = 10
_LONGEST_ID = 40
_HINT = "see https://universaldependencies.org/format.html; the validator of Universal Dependencies lists all faults of a file"


def conllu_sentences(lines: Lines, column: str, where: object) -> Iterator[Sentence]:
    """Yield words and tags of each sentence.

    Args:
        lines: (number, counted from 1; text without its end).
        column: `upos` or `xpos`.
        where: the file, for messages.

    Raises:
        InputError: a line without ten columns, ids that do not count from 1, a word without form or tag; names the line.
    """
    place = COLUMNS[column]
    reader = _Reader(where)
    words: list[str] = []
    tags: list[str] = []
    for number, line in lines:
        if not line.strip():
            if words:
                yield words, tags
            reader.end_sentence(number)
            words, tags = [], []
            continue
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != _WIDTH:
            raise _broken(f"{len(fields)} columns, CoNLL-U has {_WIDTH}", where, number)
        if not reader.is_word(fields[0], number):
            continue
        # some treebanks have words with spaces ("10 000"); a space would make two words of one
        word, tag = "".join(fields[1].split()), fields[place].strip()
        if not word:
            raise _broken(f"word {fields[0]} has no form", where, number)
        if tag in ("", "_"):
            raise _broken(f"word {fields[0]} ({word}) has no {column.upper()}", where, number)
        words.append(word)
        tags.append(tag)
    if words:
        yield words, tags
    reader.end_sentence(None)


class _Reader:
    """Checks ids: words count from 1, a range begins at the next word and is followed by all of its words."""

    def __init__(self, where: object) -> None:
        self.where = where
        self.last, self.range_end = 0, 0

    def is_word(self, text: str, number: int) -> bool:
        """Whether the id is that of a word."""
        if len(text) > _LONGEST_ID:
            raise _broken(f"{text[:20]!r}… is no id", self.where, number)
        if text.isdecimal() and text.isascii():
            if int(text) != self.last + 1:
                raise _broken(f"id {text} follows {self.last}, expected {self.last + 1}", self.where, number)
            self.last += 1
            return True
        if (found := re.fullmatch(r"(\d+)-(\d+)", text)) is not None:
            first, last = int(found[1]), int(found[2])
            if first != self.last + 1 or last < first or first <= self.range_end:
                raise _broken(f"multiword id {text} after word {self.last} covers no words that follow", self.where, number)
            self.range_end = last
            return False
        if (found := re.fullmatch(r"(\d+)\.(\d+)", text)) is not None:
            if int(found[1]) != self.last:
                raise _broken(f"empty node {text} follows word {self.last}", self.where, number)
            return False
        raise _broken(f"{text!r} is no id", self.where, number)

    def end_sentence(self, number: int | None) -> None:
        if self.range_end > self.last:
            end = f"multiword id up to {self.range_end}, but the sentence ends with word {self.last}"
            raise _broken(end, self.where, number)
        self.last, self.range_end = 0, 0


def _broken(problem: str, where: object, number: int | None) -> InputError:
    place = f"{where}, line {number}" if number is not None else f"{where}, end"
    return InputError(f"broken CoNLL-U: {problem}", where=place, hint=_HINT)
