"""Word and entity tag in columns, sentences apart by empty lines: WikiANN (PAN-X) and the form of the CoNLL shared tasks.

WikiANN: Pan et al. 2017, https://aclanthology.org/P17-1178, split by Rahimi et al. 2019, https://aclanthology.org/P19-1015; its
words begin with their language, `en:Paris TAB B-LOC`. CoNLL: https://aclanthology.org/W03-0419, word first and tag last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lexigraft.errors import InputError
from lexigraft.tagged_corpora.table import Lines, Sentence

_TAG = re.compile(r"O|[BIES]-\S+")
_LANGUAGE = re.compile(r"[A-Za-z-]+:")


def wikiann_sentences(lines: Lines, where: object) -> Iterator[Sentence]:
    """Yield words and tags of each sentence of `language:word TAB tag` lines.

    Raises:
        InputError: a line is not of that form; names it.
    """
    for sentence in _column_sentences(lines, where):
        words, tags = [], []
        for number, fields in sentence:
            prefix = _LANGUAGE.match(fields[0])
            if len(fields) != 2 or prefix is None:
                raise _broken(
                    f"expected language:word TAB tag, got {chr(9).join(fields)!r}",
                    where,
                    number,
                    "for `word TAB tag` say `format: bio`",
                )
            words.append(fields[0][prefix.end() :].strip())
            tags.append(_checked(fields[-1], where, number))
        yield words, tags


def bio_sentences(lines: Lines, where: object) -> Iterator[Sentence]:
    """Yield words and tags of each sentence: the first and the last of columns that tabs separate.

    Raises:
        InputError: a line has fewer than two columns, no word, or a tag of another form; names it.
    """
    for sentence in _column_sentences(lines, where):
        words, tags = [], []
        for number, fields in sentence:
            word = "".join(fields[0].split())
            if not word:
                raise _broken("no word before the tab", where, number, "leave out words that are empty")
            words.append(word)
            tags.append(_checked(fields[-1], where, number))
        yield words, tags


def _column_sentences(lines: Lines, where: object) -> Iterator[list[tuple[int, list[str]]]]:
    sentence: list[tuple[int, list[str]]] = []
    for number, line in lines:
        if not line.strip() or line.startswith("-DOCSTART-"):
            if sentence:
                yield sentence
            sentence = []
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            raise _broken(f"no tab in {line[:60]!r}", where, number, "separate word and tag by one tab")
        sentence.append((number, fields))
    if sentence:
        yield sentence


def _checked(field: str, where: object, number: int) -> str:
    tag = field.strip()
    if not _TAG.fullmatch(tag):
        raise _broken(
            f"{tag!r} is no tag of an entity",
            where,
            number,
            "tags are O or B-X, I-X (with E-X and S-X for ends and single words)",
        )
    return tag


def _broken(problem: str, where: object, number: int, hint: str) -> InputError:
    return InputError(problem, where=f"{where}, line {number}", hint=hint)
