"""Entities in tag sequences: against seqeval, and against conlleval's way of counting written out word by word."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexigraft.evaluation.tagging.entities import COUNTS, sentence_counts
from lexigraft.evaluation.tagging.scoring import confusion
from lexigraft.evaluation.tasks.tagging import scores_of

ENTITY_TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER"]
WORD_TAGS = ["NOUN", "VERB", "X", "SYM", "SCONJ", "INTJ", "PUNCT", "ADJ", "ADP", "PROPN", "NUM", "."]
Tags = list[list[str]]


def cases(tags: list[str]) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    pair = st.tuples(st.sampled_from(tags), st.sampled_from(tags))
    same = st.sampled_from(tags).map(lambda tag: (tag, tag))
    return st.lists(st.lists(pair | same, min_size=1, max_size=9), min_size=1, max_size=6)


def counted(gold: Tags, predicted: Tags) -> pl.DataFrame:
    tags = sorted({tag for sentence in [*gold, *predicted] for tag in sentence})
    starts = np.concatenate([[0], np.cumsum([len(sentence) for sentence in gold])])
    ids = [np.array([tags.index(tag) for sentence in side for tag in sentence], dtype=np.int64) for side in (gold, predicted)]
    return sentence_counts(ids[0], ids[1], starts, tags)


def sides(case: list[list[tuple[str, str]]]) -> tuple[Tags, Tags]:
    return [[one for one, _ in sentence] for sentence in case], [[two for _, two in sentence] for sentence in case]


def conlleval(gold: Tags, predicted: Tags) -> tuple[int, int, int]:
    """Entities right, predicted and there, as conlleval.pl counts them: word by word, keeping in mind what has begun."""

    def split(tag: str) -> tuple[str, str]:
        return ("O", "") if tag == "O" else (tag[0], tag[2:])

    def begins(before: tuple[str, str], now: tuple[str, str]) -> bool:
        return now[0] != "O" and (now[0] in "BS" or before[0] in "OES" or before[1] != now[1])

    def ends(before: tuple[str, str], now: tuple[str, str]) -> bool:
        return before[0] != "O" and (now[0] in "OBS" or before[0] in "ES" or before[1] != now[1])

    right = in_prediction = in_gold = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        before = [("O", ""), ("O", "")]
        inside_right = False
        for pair in [*zip(gold_tags, predicted_tags, strict=True), ("O", "O")]:
            now = [split(tag) for tag in pair]
            ended = [ends(*both) for both in zip(before, now, strict=True)]
            begun = [begins(*both) for both in zip(before, now, strict=True)]
            if inside_right and any(ended):
                right += all(ended)
                inside_right = False
            if inside_right and begun[0] != begun[1]:
                inside_right = False
            if all(begun) and now[0][1] == now[1][1]:
                inside_right = True
            in_gold, in_prediction, before = in_gold + begun[0], in_prediction + begun[1], now
    return right, in_prediction, in_gold


@settings(max_examples=150, deadline=None)
@given(case=cases(ENTITY_TAGS))
def test_entities_are_those_of_conlleval(case: list[list[tuple[str, str]]]) -> None:
    total = counted(*sides(case)).sum()
    names = ("right_entities", "predicted_entities", "entities")
    assert tuple(total[name].item() for name in names) == conlleval(*sides(case))


@pytest.mark.parametrize("tags", [ENTITY_TAGS, WORD_TAGS], ids=["entities", "parts of speech"])
def test_scores_are_those_of_seqeval(tags: list[str]) -> None:
    from seqeval import metrics

    @settings(max_examples=150, deadline=None)
    @given(case=cases(tags))
    def check(case: list[list[tuple[str, str]]]) -> None:
        gold, predicted = sides(case)
        scores = scores_of(counted(gold, predicted))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert scores["f1"] == pytest.approx(100 * metrics.f1_score(gold, predicted, zero_division=0))
            assert scores["accuracy"] == pytest.approx(100 * metrics.accuracy_score(gold, predicted))

    check()


def test_scores_of_known_sentences() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]
    predicted = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "B-PER"]]
    counts = counted(gold, predicted)
    assert counts.schema == COUNTS
    assert counts.rows(named=True)[0] == {
        "words": 4,
        "right_words": 3,
        "marked": 3,
        "predicted_marked": 3,
        "right_marked": 2,
        "entities": 2,
        "predicted_entities": 2,
        "right_entities": 1,
    }
    scores = scores_of(counts)
    # 2 of 4 predicted and 3 true entities; 3 of 5 and 4 marked words; 4 of 6 words
    assert scores["f1"] == pytest.approx(100 * 2 * 2 / 7)
    assert scores["token_f1"] == pytest.approx(100 * 2 * 3 / 9)
    assert scores["accuracy"] == pytest.approx(100 * 4 / 6)
    assert scores_of(counted([["O", "O"]], [["O", "O"]])) == {"f1": 0.0, "token_f1": 0.0, "accuracy": 100.0}
    # without a tag for what is outside of entities
    scores = scores_of(counted([["NOUN", "VERB", "X"]], [["NOUN", "NOUN", "X"]]))
    assert scores["token_f1"] == scores["accuracy"] == pytest.approx(200 / 3)


def test_confusion_counts_every_pair_once() -> None:
    gold, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 2])
    assert confusion(gold, predicted, ["O", "A", "B"]).rows() == [
        ("O", "O", 1),
        ("O", "A", 1),
        ("A", "A", 1),
        ("B", "O", 1),
        ("B", "B", 2),
    ]
