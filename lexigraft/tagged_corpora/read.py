"""Reading tagged sentences of any of the formats, with the checks that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from lexigraft.corpora.lines import line_blocks
from lexigraft.errors import InputError, nearest
from lexigraft.files.checksums import check_digests
from lexigraft.tagged_corpora.columns import bio_sentences, wikiann_sentences
from lexigraft.tagged_corpora.conllu import conllu_sentences
from lexigraft.tagged_corpora.settings import TagFormat, TaggedFile
from lexigraft.tagged_corpora.table import TaggedSentences, joined, tagged_sentences


def read_tagged(file: TaggedFile, form: TagFormat, language: str) -> TaggedSentences:
    """Read the sentences of one file; no sentence is empty.

    Args:
        file: which file, and how many of its sentences.
        form: how it is read.
        language: for messages.

    Raises:
        InputError: the file is missing, has another digest than the one given, is not of the format (names the line), or
            has no sentence.
    """
    path = Path(file.path)
    if not path.is_file():
        raise InputError(f"file of tagged sentences in {language} does not exist", where=path, hint="give the path of a file")
    check_digests([path], file.sha256, f"tagged sentences in {language}")
    lines = (numbered for first, block in line_blocks(path) for numbered in enumerate(block, start=first + 1))
    if form.format == "conllu":
        sentences = conllu_sentences(lines, form.column, path)
    elif form.format == "wikiann":
        sentences = wikiann_sentences(lines, path)
    else:
        sentences = bio_sentences(lines, path)
    mapped = ((words, [form.tag_map.get(tag, tag) for tag in tags]) for words, tags in sentences)
    found = tagged_sentences(islice(mapped, file.max_sentences))
    if not len(found):
        raise InputError(
            f"no sentence in {language}", where=path, hint=f"give a file of the format {form.format!r}, or leave {language} out"
        )
    return found


def read_all(files: Mapping[str, TaggedFile], form: TagFormat) -> TaggedSentences:
    """Sentences of all languages, one after the other; raises as `read_tagged`."""
    return joined(read_tagged(file, form, language) for language, file in files.items())


def tag_set(tags: Iterable[str]) -> list[str]:
    """The distinct tags, `O` first where there is one, then in alphabetical order."""
    return sorted(set(tags), key=lambda tag: (tag != "O", tag))


def check_tags(sentences: TaggedSentences, known: list[str], what: str, where: object) -> None:
    """Refuse tags that a tagger does not know.

    Args:
        sentences: to check.
        known: tags of the training text.
        what: the sentences in words, for the message.
        where: their file.

    Raises:
        InputError: naming all tags that the training text lacks.
    """
    counts = {tag: 0 for tag in tag_set(sentences.tags) if tag not in set(known)}
    if not counts:
        return
    for tag in sentences.tags:
        if tag in counts:
            counts[tag] += 1
    first = next(iter(counts))
    other = "O" if "O" in known else known[0]
    raise InputError(
        f"{what} has tags that the training text lacks: {', '.join(f'{tag} ({count} words)' for tag, count in counts.items())}",
        where=where,
        hint=f"read them as others with `tag_map`, for example {{{first}: {other}}}; {nearest(first, known)}",
    )
