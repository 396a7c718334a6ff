"""Tagged sentences: CoNLL-U, WikiANN and BIO columns, and what is wrong with files that are none."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tagging_cases import conllu

from lexigraft.errors import InputError
from lexigraft.tagged_corpora.conllu import conllu_sentences
from lexigraft.tagged_corpora.read import check_tags, read_all, read_tagged, tag_set
from lexigraft.tagged_corpora.settings import TagFormat, TaggedFile
from lexigraft.tagged_corpora.table import joined, tagged_sentences
from tests.shared_data import shared_data

CONLLU = TagFormat(format="conllu")
REST = "\t_" * 5
GOOD = f"""# sent_id = 1
1-2\tvámonos\t_\t_\t_{REST}
1\tvamos\tir\tVERB\tv{REST}
2\tnos\tnosotros\tPRON\tp{REST}
2.1\tempty\t_\tVERB\tv{REST}
3\t10 000\t_\tNUM\tn{REST}

# sent_id = 2
1\tal\t_\tADP\tx{REST}
"""


def write(path: Path, text: str) -> TaggedFile:
    path.write_text(text, encoding="utf-8")
    return TaggedFile(path=str(path))


@pytest.mark.parametrize(("column", "tags"), [("upos", ["VERB", "PRON", "NUM", "ADP"]), ("xpos", ["v", "p", "n", "x"])])
def test_words_of_conllu(tmp_path: Path, column: str, tags: list[str]) -> None:
    file = write(tmp_path / "a.conllu", GOOD)
    found = read_tagged(file, TagFormat(format="conllu", column=column), "spa_Latn")
    assert found.words == ["vamos", "nos", "10000", "al"]
    assert found.tags == tags
    assert found.starts.tolist() == [0, 3, 4]


def line(number: str, tag: str = "X", form: str = "a") -> str:
    return f"{number}\t{form}\t_\t{tag}" + "\t_" * 6


@pytest.mark.parametrize(
    ("lines", "number", "message"),
    [
        ([line("1"), line("3")], 2, "id 3 follows 1, expected 2"),
        ([line("2")], 1, "id 2 follows 0, expected 1"),
        ([line("1"), line("1")], 2, "id 1 follows 1"),
        ([line("1"), "", line("2")], 3, "id 2 follows 0"),
        ([line("one")], 1, "'one' is no id"),
        ([line("")], 1, "'' is no id"),
        ([line("2-3"), line("1")], 1, "multiword id 2-3 after word 0"),
        ([line("2-1")], 1, "multiword id 2-1"),
        ([line("1-3"), line("1"), line("2-4")], 3, "multiword id 2-4"),
        ([line("1-2"), line("1"), ""], 3, "multiword id up to 2, but the sentence ends with word 1"),
        ([line("1"), line("3.1")], 2, "empty node 3.1 follows word 1"),
        ([line("1", tag="_")], 1, "word 1 (a) has no UPOS"),
        ([line("1", form=" ")], 1, "word 1 has no form"),
        (["1\ta\tX"], 1, "3 columns, CoNLL-U has 10"),
        (["just text"], 1, "1 columns"),
    ],
)
def test_broken_conllu_is_told_with_its_line(lines: list[str], number: int, message: str) -> None:
    with pytest.raises(InputError) as told:
        list(conllu_sentences(enumerate(lines, start=1), "upos", "a.conllu"))
    assert message in told.value.problem
    assert told.value.where == f"a.conllu, line {number}"


def test_a_sentence_that_breaks_off_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "a.conllu", f"{line('1-3')}\n{line('1')}\n")
    with pytest.raises(InputError, match="multiword id up to 3"):
        read_tagged(file, CONLLU, "eng_Latn")


WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=6)
SENTENCES = st.lists(st.lists(st.tuples(WORDS, st.sampled_from(["A", "B", "C-x"])), min_size=1, max_size=5), max_size=6)


@given(sentences=SENTENCES)
def test_what_is_written_is_read(sentences: list[list[tuple[str, str]]]) -> None:
    pairs = [([word for word, _ in sentence], [tag for _, tag in sentence]) for sentence in sentences]
    lines = enumerate(conllu(pairs).split("\n"), start=1)
    assert list(conllu_sentences(lines, "upos", "x")) == pairs


def test_wikiann_and_bio_columns(tmp_path: Path) -> None:
    wikiann = write(tmp_path / "w", "en:Paris\tB-LOC\nen::\tO\nzh-yue:a:b\tI-LOC\n\n\nen:x\tO")
    found = read_tagged(wikiann, TagFormat(format="wikiann"), "eng_Latn")
    assert (found.words, found.tags) == (["Paris", ":", "a:b", "x"], ["B-LOC", "O", "I-LOC", "O"])
    assert found.starts.tolist() == [0, 3, 4]
    bio = write(tmp_path / "b", "-DOCSTART-\t-X-\tO\n\nParis\tNNP\tB-LOC\r\nis\tVBZ\tO\r\n\r\nhere\tRB\tO\r\n")
    found = read_tagged(bio, TagFormat(format="bio"), "eng_Latn")
    assert (found.words, found.tags, found.starts.tolist()) == (["Paris", "is", "here"], ["B-LOC", "O", "O"], [0, 2, 3])


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("wikiann", "en:a\tO\nParis\tB-LOC\n", "expected language:word TAB tag"),
        ("wikiann", "en:a\tO\nen:b\tB-LOC\tmore\n", "expected language:word TAB tag"),
        ("bio", "a\tO\nParis B-LOC\n", "no tab in 'Paris B-LOC'"),
        ("bio", "a\tO\nParis\tLOC\n", "'LOC' is no tag of an entity"),
        ("bio", "a\tO\n\tO\n", "no word before the tab"),
    ],
)
def test_broken_columns_are_told_with_their_line(tmp_path: Path, form: str, text: str, message: str) -> None:
    file = write(tmp_path / "file", text)
    with pytest.raises(InputError, match=re.escape(message)) as told:
        read_tagged(file, TagFormat(format=form), "eng_Latn")
    assert str(told.value.where).endswith("line 2")


def test_gzip_limits_and_mapped_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tB-MISC\n\nb\tB-PER\n\nc\tO\n"))
    form = TagFormat(format="bio", tag_map={"B-MISC": "O"})
    found = read_tagged(TaggedFile(path=str(path), max_sentences=2), form, "eng_Latn")
    assert (found.words, found.tags) == (["a", "b"], ["O", "B-PER"])


def test_a_language_without_sentences_or_file_is_an_error(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.conllu", "# nothing\n\n")
    with pytest.raises(InputError, match="no sentence in kor_Hang"):
        read_tagged(empty, CONLLU, "kor_Hang")
    with pytest.raises(InputError, match="file of tagged sentences in kor_Hang does not exist"):
        read_tagged(TaggedFile(path=str(tmp_path / "none")), CONLLU, "kor_Hang")


def test_tags_that_training_lacks_are_named_with_their_counts() -> None:
    sentences = tagged_sentences([(["a", "b", "c"], ["O", "B-DATE", "B-DATE"]), (["d"], ["B-PER"])])
    check_tags(sentences, ["O", "B-DATE", "B-PER", "I-PER"], "the test text", "file")
    message = "the test text has tags that the training text lacks: B-DATE (2 words)"
    with pytest.raises(InputError, match=re.escape(message)) as told:
        check_tags(sentences, ["O", "B-PER", "I-PER"], "the test text", "file")
    assert "tag_map" in str(told.value.hint)


def test_joined_sentences_and_tag_sets(tmp_path: Path) -> None:
    parts = [tagged_sentences([(["a"], ["X"]), (["b", "c"], ["O", "A"])]), tagged_sentences([(["d"], ["O"])])]
    both = joined(parts)
    assert (both.words, both.starts.tolist(), len(both)) == (["a", "b", "c", "d"], [0, 1, 3, 4], 3)
    assert tag_set(both.tags) == ["O", "A", "X"]
    assert both.tag_ids(["O", "A", "X"]).tolist() == [2, 0, 1, 0]
    files = {"eng_Latn": write(tmp_path / "a", "a\tO\n"), "deu_Latn": write(tmp_path / "b", "b\tO\n")}
    assert read_all(files, TagFormat(format="bio")).words == ["a", "b"]


def test_real_treebanks_hold_as_many_sentences_and_words_as_they_say() -> None:
    checked = 0
    for part, suffix, form in (("ud", ".conllu.gz", CONLLU), ("ner", ".tsv.gz", TagFormat(format="bio"))):
        folder = shared_data(part)
        for row in (folder / "COUNTS.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            name, sentences, words = row.split("\t")[:3]
            path = folder / f"{name}{suffix}"
            if path.is_file():
                found = read_tagged(TaggedFile(path=str(path)), form, name)
                assert (len(found), len(found.words)) == (int(sentences), int(words)), name
                checked += 1
    assert checked
