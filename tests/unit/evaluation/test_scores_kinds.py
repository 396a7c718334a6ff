"""Scores of all kinds of tasks in one run: which one is the best, how they are read, and runs without retrieval."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from page_cases import page_of
from ranks_cases import run_row
from report_cases import no_significance, scored, scored_inputs, written

from lexigraft.artifacts import Provenance, write_table
from lexigraft.cli import main
from lexigraft.errors import ArtifactError
from lexigraft.evaluation.scores import SCHEMA, mean_scores, with_intervals
from lexigraft.evaluation.summary import markdown_table, run_summary, score_table
from lexigraft.report.charts import heat_map
from lexigraft.report.inputs import ReportInputs
from lexigraft.report.tables import columns_of, of_column

BITS = {"ofa-mono-100": (1.5, 1.75), "graft-mono-100": (0.75, 1.0), "graft-mono-100-seed2": (0.5, 0.75)}
F1 = {"ofa-mono-100": 30.0, "graft-mono-100": 20.0, "graft-mono-100-seed2": 26.0}
SEED = 42


def predicted_and_tagged(folder: Path) -> ReportInputs:
    """A run of language modeling and tagging in two languages."""
    rows, tables = [], []
    for model, bits in BITS.items():
        seed = 2 if model.endswith("seed2") else SEED
        for task, metrics in (
            ("text", {"bits_per_byte": bits, "masked_perplexity": (120.0, 130.0)}),
            ("tags", {"f1": (F1[model], F1[model] + 10), "accuracy": (90.0, 92.0)}),
        ):
            rows.append(run_row(model, task=task, seed=seed))
            tables += [
                {**rows[-1], "language": language, "metric": metric, "score": values[place], "n": 40}
                | {"unit": "words", "headline": metric in ("bits_per_byte", "f1"), "lower_is_better": task == "text"}
                for place, language in enumerate(("tur_Latn", "kor_Hang"))
                for metric, values in metrics.items()
            ]
    scores = folder / "scores.parquet"
    write_table(scores, pl.DataFrame(tables, schema=SCHEMA), Provenance("scores", seed=SEED))
    return ReportInputs("try", scores, rows, {"seed": SEED}, SEED, *no_significance(folder), {"text": "bits per byte"})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return predicted_and_tagged(tmp_path_factory.mktemp("run"))


def test_terminal_stars_the_lowest_where_lower_is_better(run: ReportInputs) -> None:
    lines = {line.split()[0]: line.split()[1:] for line in run_summary(run.scores.parent).splitlines() if line}
    assert lines["model"] == ["text", "bits-per-byte", "tags", "f1"]
    assert lines["ofa-mono-100"] == ["1.625", "35.0*"]
    assert lines["graft-mono-100"] == ["0.875", "25.0"]
    assert lines["graft-mono-100-seed2"] == ["0.625*", "31.0"]
    assert " ".join(lines["percent,"]).endswith("no percentage, and lower is better: bits-per-byte; * best of the column")


def test_markdown_has_all_kinds_of_tasks(run: ReportInputs) -> None:
    first, _, groups = markdown_table(run.scores.parent).split("\n\n")
    assert first.splitlines()[0] == "| model | text, step 0 | tags, step 0 |"
    assert first.splitlines()[2] == "| `ofa-mono-100` | 1.625 | 35.0 |"
    assert groups.splitlines()[-1] == "| `graft-mono-100` | 0.750 (0.625–0.875) | 28.0 (25.0–31.0) |"


def test_some_tasks_of_a_run(run: ReportInputs, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.scores.parent
    assert main(["scores", str(folder), "--markdown", "--tasks", "tags"]) == 0
    table, *_ = capsys.readouterr().out.split("\n\n")
    assert table.splitlines()[0] == "| model | tags, step 0 |"
    assert table.splitlines()[2] == "| `ofa-mono-100` | 35.0 |"
    assert main(["scores", str(folder), "--tasks", "text", "--languages", "tur_Latn"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "| model | text, bits_per_byte, step 0 |"
    assert main(["scores", str(folder), "--tasks", "text"]) == 0
    assert "tags" not in capsys.readouterr().out
    for options in ([], ["--markdown"], ["--metrics", "f1"]):
        assert main(["scores", str(folder), "--tasks", "tag", *options]) == 1
        assert "task 'tag'; did you mean 'tags'?" in capsys.readouterr().err


def test_page_marks_the_lowest_where_lower_is_better(run: ReportInputs, tmp_path: Path) -> None:
    report = written(run, tmp_path)
    page, text = page_of(report), report.read_text(encoding="utf-8")
    groups, metrics = page.tables["scores"]
    assert groups[0] == ["model", "seeds", "text bits-per-byte", "tags f1"]
    assert groups[2:] == [
        ["ofa-mono-100", "1", "1.625", "35.0"],
        ["graft-mono-100", "2", "0.750 0.625–0.875", "28.0 25.0–31.0"],
    ]
    assert page.bold["scores"] == ["35.0", "0.750 0.625–0.875"]
    assert metrics[1][1:] == ["1.625", "125.000", "35.0", "91.0"]
    assert page.tables["languages"][0][0][:5] == ["language", "name", "family", "resources", "words"]
    assert page.tables["languages"][0][1][5:] == ["1.500", "0.625"]
    assert page.bold["languages"][:4] == ["0.625", "0.875", "30.0", "40.0"]
    assert "text at step 0: <b>graft</b> is best with 0.750 bits-per-byte, mean of 2 seeds between 0.625 and 0.875." in text
    assert "text: bits per byte, lower is better; 2 languages with 40 words each." in page.texts["scores"]
    assert "tags: in percent; 2 languages with 40 words each." in page.texts["scores"]


def test_colors_are_the_darker_the_better(run: ReportInputs) -> None:
    scores, models = pl.read_parquet(run.scores), run.models()
    ramps = []
    for column in columns_of(scores):
        text = json.dumps(heat_map(of_column(scores, column), models, column, 2.0))
        (scale,) = [part for part in text.split('"scale": ') if '"interpolate": "lab"' in part]
        ramps.append(json.loads(scale[scale.index("[", scale.index('"range"')) : scale.index("]", scale.index('"range"')) + 1]))
    assert ramps[0] == ramps[1][::-1] != ramps[1]


def test_intervals_are_of_the_metric_that_stands_for_the_task(tmp_path: Path) -> None:
    inputs = scored_inputs(tmp_path, {("ofa-mono-100", 0, "sr_b"): {"tur_Latn": 20.0}})
    ranks = tmp_path / "0.parquet"
    table = pl.read_parquet(ranks).with_columns(pl.int_range(1, 201, dtype=pl.Int32).alias("rank"))
    write_table(ranks, table, Provenance("ranks"))
    scores = scored(tmp_path, [ranks], list(inputs.rows), SEED, top_k=[1, 50])  # type: ignore[arg-type]
    intervals = pl.read_parquet(tmp_path / "intervals.parquet")
    chosen = with_intervals(scores, intervals)
    assert chosen["mean"].to_list() == mean_scores(scores)["mean"].to_list() == [25.0]
    assert chosen["low"][0] < 25.0 < chosen["high"][0]
    assert "25.0* [" in score_table(scores, intervals)


def test_intervals_are_those_of_the_artifact(tmp_path: Path) -> None:
    inputs = scored_inputs(tmp_path, {("ofa-mono-100-seed3", 0, "sr_b"): {"tur_Latn": 20.0, "kor_Hang": 35.0}})
    (wanted,) = pl.read_parquet(tmp_path / "intervals.parquet").filter(language="mean", metric="top_10").iter_rows(named=True)
    ends = f"{wanted['low']:.1f}–{wanted['high']:.1f}"
    page = page_of(written(inputs, tmp_path))
    assert page.tables["scores"][0][2][1] == f"27.5 {ends}"
    assert f"| 27.5 ({ends}) |" in markdown_table(tmp_path)
    (tmp_path / "intervals.parquet").unlink()
    with pytest.raises(ArtifactError, match="does not exist"):
        markdown_table(tmp_path)
