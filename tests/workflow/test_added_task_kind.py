"""A kind of task is added with its file, its rules file and its script: scores, tests and report follow without an edit."""

from __future__ import annotations

import polars as pl
import pytest
from tokenizers import Tokenizer

from tests.checkout import Checkout, edit

KIND = '''
"""Words that a tokenizer keeps whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lexigraft.artifacts import read_table
from lexigraft.evaluation.tasks import Metric, Task

if TYPE_CHECKING:
    import polars as pl


class WholeWordsTask(Task):
    note: ClassVar[str] = "the tokens per word"

    kind: Literal["whole_words"]
    corpus: str

    def headline_metric(self) -> str:
        return "pieces"

    def read(self, path: Path) -> tuple[pl.DataFrame, dict[str, Metric]]:
        metrics = {
            "whole": Metric({"whole": 1, "words": -1}, "words", "words", scale=100.0),
            "pieces": Metric({"tokens": 1, "words": -1}, "words", "words", lower_is_better=True),
        }
        return read_table(path, "whole_words"), metrics
'''
RULES = """
rule whole_words:
    input:
        sentences=held_out_of_task,
        weights=SCORED_WEIGHTS,
        files=SCORED_FILES,
    output:
        sentences="<results>/whole_words/{task}/{model}-step-{step}.parquet",
    log:
        "<logs>/whole_words/{task}/{model}-step-{step}.log",
    params:
        task="{task}",
        model="{model}",
        step="{step}",
        settings=task_settings,
        code=code_of("whole_words.py"),
        lock=LOCK,
    script:
        "../../workflow_scripts/whole_words.py"


RESULTS["whole_words"] = rules.whole_words.output.sentences
"""
SCRIPT = """
from lexigraft.workflow.stage import stage

with stage("whole_words", snakemake) as job:
    import polars as pl
    from tokenizers import Tokenizer

    from lexigraft.artifacts import read_table, write_table

    tokenizer = Tokenizer.from_file(str(job.input.weights.parent / "tokenizer.json"))
    text = read_table(job.input.sentences, "corpus").filter(pl.col("language").is_in(job.params.settings["languages"]))
    pieces = [[len(tokenizer.encode(word, add_special_tokens=False)) for word in line.split()] for line in text["text"]]
    counts = {
        "words": [len(of) for of in pieces],
        "tokens": [sum(of) for of in pieces],
        "whole": [of.count(1) for of in pieces],
    }
    table = text.select("language", pl.col("sentence_id").alias("sentence")).with_columns(pl.DataFrame(counts))
    write_table(job.output.sentences, table, job.provenance)
"""
LANGUAGES = ("fra_Latn", "kor_Hang")


def test_a_new_kind_is_scored_tested_and_reported(scratch: Checkout) -> None:
    folder, results = scratch.folder, scratch.folder / "results/mini"
    for path, text in (
        ("lexigraft/evaluation/tasks/whole_words.py", KIND),
        ("rules/tasks/whole_words.smk", RULES),
        ("workflow_scripts/whole_words.py", SCRIPT),
    ):
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
