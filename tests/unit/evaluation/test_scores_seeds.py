"""Models that differ in their seed only: their summary in tables, on the page and as Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from page_cases import CHROMIUM, Page, console
from report_cases import scored_inputs, written

from lexigraft.errors import InputError
from lexigraft.evaluation.scores import seed_summary, without_seed
from lexigraft.evaluation.summary import chosen_table, markdown_table
from lexigraft.report.inputs import ReportInputs

STEPS = (0, 50)
SHARES = {"graft-tiny-100": (60.0, 61.0, 65.0), "ofa-tiny-full": (30.0, 40.0, 32.0)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """Two methods of three seeds and one of a single seed, in two languages, at two steps."""
    scores = {
        (f"{group}-seed{seed}", step, "sr_b"): {"tur_Latn": share + step / 10, "kor_Hang": share - 10}
        for group, shares in SHARES.items()
        for seed, share in zip((1, 2, 30), shares, strict=True)
        for step in STEPS
    }
    scores |= {("random-tiny-100", step, "sr_b"): {"tur_Latn": 5.0, "kor_Hang": 6.0} for step in STEPS}
    return scored_inputs(tmp_path_factory.mktemp("run"), scores)


def mean(share: float, step: int) -> float:
    return float(np.mean([share + step / 10, share - 10]))


def test_seed_group_is_the_name_without_the_models_own_seed() -> None:
    assert without_seed("ofa-tiny-100-seed2", 2) == "ofa-tiny-100"
    assert without_seed("ofa-tiny-100-seed2", 42) == "ofa-tiny-100-seed2"
    assert without_seed("ofa-tiny-100", 42) == "ofa-tiny-100"


def test_summary_is_mean_lowest_and_highest(inputs: ReportInputs) -> None:
    scores = pl.read_parquet(inputs.scores)
    assert scores.schema["dim"] == pl.String
    assert set(scores["dim"]) == {"100", "full"}
    summary = seed_summary(scores)
    assert summary.select("seed_group", "step", "seeds").rows() == [
        *((group, step, 3) for group in SHARES for step in STEPS),
        *(("random-tiny-100", step, 1) for step in STEPS),
    ]
    for group, shares in SHARES.items():
        for step in STEPS:
            (row,) = summary.filter(seed_group=group, step=step).iter_rows(named=True)
            means = [mean(share, step) for share in shares]
            assert (row["mean"], row["low"], row["high"]) == pytest.approx((np.mean(means), min(means), max(means)))


def test_markdown_has_a_second_table_only_where_there_are_seeds(inputs: ReportInputs, tmp_path: Path) -> None:
    first, note, second, verdicts = markdown_table(inputs.scores.parent).split("\n\n")
    assert len(first.splitlines()) == 2 + 7
    assert note == "Mean over seeds (1 or 3 per model); in brackets the lowest and the highest:"
    assert second.splitlines() == [
        "| model | sr_b, step 0 | sr_b, step 50 |",
        "| --- | --- | --- |",
        "| `graft-tiny-100` | 57.0 (55.0–60.0) | 59.5 (57.5–62.5) |",
        "| `ofa-tiny-full` | 29.0 (25.0–35.0) | 31.5 (27.5–37.5) |",
        "| `random-tiny-100` | 5.5 | 5.5 |",
    ]
    assert verdicts.splitlines()[0].startswith("- sr_b, step 0: graft-tiny-100 better than random-tiny-100, +51.5 [")
    assert verdicts.splitlines()[0].endswith("], p < 0.001; better in 2 of 2 languages")
    assert "- sr_b: random-tiny-100 after 50 steps and at step 0: no difference shown, +0.0 [+0.0, +0.0], p = 1.000" in verdicts
    scored_inputs(tmp_path, {("random-tiny-100", 0, "sr_b"): {"tur_Latn": 5.0}})
    assert len(markdown_table(tmp_path).splitlines()) == 3


def test_steps_of_markdown_rise_whichever_model_was_scored_first(tmp_path: Path) -> None:
    given = [("random-tiny-100", 200, "sr_t"), ("ofa-tiny-100", 0, "sr_t"), ("ofa-tiny-100", 50, "sr_b")]
    scored_inputs(tmp_path, {key: {"tur_Latn": 5.0} for key in given})
    assert markdown_table(tmp_path).splitlines()[0] == "| model | sr_t, step 0 | sr_t, step 200 | sr_b, step 50 |"


def test_some_languages_and_metrics(inputs: ReportInputs) -> None:
    table, note = chosen_table(inputs.scores.parent, ["tur_Latn"], []).split("\n\n")
    assert table.splitlines() == [
        "| model | sr_b, top_10, step 0 | sr_b, top_10, step 50 |",
        "| --- | --- | --- |",
        "| `graft-tiny-100` | 62.0 (60.0–65.0) | 67.0 (65.0–70.0) |",
        "| `ofa-tiny-full` | 34.0 (30.0–40.0) | 39.0 (35.0–45.0) |",
        "| `random-tiny-100` | 5.0 | 5.0 |",
    ]
    assert note == "Means over languages (sr_b 1) and seeds; in brackets the lowest and the highest of the seeds."
    two = chosen_table(inputs.scores.parent, [], ["top_1", "top_10"]).splitlines()
    assert two[0] == "| model | sr_b, top_1, step 0 | sr_b, top_10, step 0 | sr_b, top_1, step 50 | sr_b, top_10, step 50 |"
    with pytest.raises(InputError, match=r"no score of the language 'tur_Latm'; did you mean 'tur_Latn'"):
        chosen_table(inputs.scores.parent, ["tur_Latm"], [])
    with pytest.raises(InputError, match=r"no score of the metric 'top_9'"):
        chosen_table(inputs.scores.parent, [], ["top_9"])


def test_page_has_one_row_per_seed_group(inputs: ReportInputs, tmp_path: Path) -> None:
    text = written(inputs, tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    rows = page.tables["scores"][0]
    assert rows[:2] == [["model", "seeds", "sr_b top-10"], ["step 0", "step 50"]]
    cells = {line[0]: [line[1], *(cell.split() for cell in line[2:])] for line in rows[2:]}
    # mean, interval, lowest and highest seed, and what the test says of the later step
    assert cells["graft-tiny-100"][0] == "3"
    assert [cells["graft-tiny-100"][1][place] for place in (0, 2)] == ["57.0", "55.0–60.0"]
    assert [cells["graft-tiny-100"][2][place] for place in (0, 2, 3)] == ["59.5", "57.5–62.5", "better"]
    assert [cells["ofa-tiny-full"][1][place] for place in (0, 2)] == ["29.0", "25.0–35.0"]
    assert cells["random-tiny-100"][0] == "1"
    assert cells["random-tiny-100"][2][2:] == ["no", "difference", "shown"]
    assert "graft</b> is best with 57.0 %, mean of 3 seeds between 55.0 and 60.0: better than random (difference +51.5" in text
    assert "D′ full" in page.texts["run"]
    assert "All metrics of every seed" in text


def test_page_of_single_seeds_says_nothing_of_seeds(tmp_path: Path) -> None:
    scores = {(model, 0, "sr_b"): {"tur_Latn": 5.0} for model in ("random-tiny-100", "ofa-tiny-100")}
    assert "seeds</th>" not in written(scored_inputs(tmp_path, scores), tmp_path).read_text(encoding="utf-8")


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
def test_browser_has_nothing_to_say_about_it(inputs: ReportInputs, tmp_path: Path) -> None:
    messages, shown = console(written(inputs, tmp_path), tmp_path)
    assert messages == []
    assert "one row: their mean" in shown
