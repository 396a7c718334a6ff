"""Word and entity tag in columns, sentences apart by empty lines: WikiANN (PAN-X) and the form of the CoNLL shared tasks.

WikiANN: Pan et al. 2017, https://aclanthology.org/P17-1178, split by Rahimi et al. 2019, https://aclanthology.org/P19-1015; its
words begin with their language, `en:Paris TAB B-LOC`. CoNLL: https://aclanthology.org/W03-0419, word first and tag last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lexigraft.errors import InputError
from lexigraft.tagged_corpora.table import Lines, Sentence

_TAG = re.compile(r"O|[BIES]-\S+")
_LANGUAGE = re.compile(r"[A-Za-z-]+:")


def wikiann_sentences(lines: Lines, where: object) -> Iterator[Sentence]:
    """Yield words and tags of each sentence of `language:word TAB tag` lines.

    Raises:
        InputError: a line is not of that form; names it.
    """

    def word_of(fields: list[str], number: int) -> str:
        prefix = _LANGUAGE.match(fields[0])
        if len(fields) != 2 or prefix is None:
            problem = f"expected language:word TAB tag, got {chr(9).join(fields)!r}"
            raise _broken(problem, where, number, "for `word TAB tag` say `format: bio`")
        return fields[0][prefix.end() :].strip()

    return _column_sentences(lines, where, word_of)


def bio_sentences(lines: Lines, where: object) -> Iterator[Sentence]:
    """Yield words and tags of each sentence: the first and the last of columns that tabs separate.

    Raises:
        InputError: a line has fewer than two columns, no word, or a tag of another form; names it.
    """

    def word_of(fields: list[str], number: int) -> str:
        if not (word := "".join(fields[0].split())):
            raise _broken("no word before the tab", where, number, "leave out words that are empty")
        return word

    return _column_sentences(lines, where, word_of)


def _column_sentences(lines: Lines, where: object, word_of: Callable[[list[str], int], str]) -> Iterator[Sentence]:
    words, tags = list[str](), list[str]()
    for number, line in lines:
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                yield words, tags
            words, tags = [], []
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            raise _broken(f"no tab in {line[:60]!r}", where, number, "separate word and tag by one tab")
        words.append(word_of(fields, number))
        tags.append(fields[-1].strip())
        if not _TAG.fullmatch(tags[-1]):
            hint = "tags are O or B-X, I-X (with E-X and S-X for ends and single words)"
            raise _broken(f"{tags[-1]!r} is no tag of an entity", where, number, hint)
    if words:
        yield words, tags


def _broken(problem: str, where: object, number: int, hint: str) -> InputError:
    return InputError(problem, where=f"{where}, line {number}", hint=hint)
