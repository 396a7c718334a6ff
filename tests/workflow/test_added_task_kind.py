"""The kind of task of CONTRIBUTING.md: its files are added, and scores, tests and report follow without an edit."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer

from tests.checkout import Checkout, edit
from tests.examples import example_files

LANGUAGES = ("fra_Latn", "kor_Hang")


def test_a_new_kind_is_scored_tested_and_reported(scratch: Checkout) -> None:
    folder, results = scratch.folder, scratch.folder / "results/mini"
    files = {path: text for path, text in example_files().items() if Path(path).stem == "whole_words"}
    assert len(files) == 3
    for path, text in files.items():
        (folder / path).write_text(text)
    assert scratch.planned("all") == {}
    task = f"\ntasks:\n  words: {{kind: whole_words, corpus: bible, languages: [{', '.join(LANGUAGES)}]}}\n"
    edit(folder / "mini.yaml", "\ntasks:\n", task)
    assert scratch.planned("all") == {"whole_words": 8, "scores": 1, "significance": 1, "report": 1}
    scratch.run("all")

    scores = pl.read_parquet(results / "scores.parquet").filter(task="words")
    assert len(scores) == 8 * len(LANGUAGES) * 2
    tokenizer = Tokenizer.from_file(str(folder / "resources/tokenizers/bible-4k/tokenizer.json"))
    held_out = pl.read_parquet(folder / "resources/corpora/bible/held_out.parquet")
    for language in LANGUAGES:
        words = [word for line in held_out.filter(language=language)["text"] for word in line.split()]
        sizes = [len(encoding.ids) for encoding in tokenizer.encode_batch(words, add_special_tokens=False)]
        expected = {"whole": 100 * sizes.count(1) / len(words), "pieces": sum(sizes) / len(words)}
        for metric, score in expected.items():
            of = scores.filter(language=language, metric=metric)
            assert of["score"].to_list() == pytest.approx([score] * 8)
            assert set(of["n"]) == {len(words)}
    comparisons = pl.read_parquet(results / "comparisons.parquet").filter(task="words")
    assert set(comparisons["metric"]) == {"pieces"}
    assert set(comparisons["difference"]) == {0.0}
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "words: the tokens per word, lower is better; 2 languages with" in page
