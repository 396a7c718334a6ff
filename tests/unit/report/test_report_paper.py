"""The paper's figures in the report, beside scores that were made up to be easy to reckon with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest
from page_cases import CHROMIUM, Page, console, page_of
from report_cases import scored_inputs, written

from lexigraft.artifacts import Provenance, write_table
from lexigraft.errors import ArtifactError
from lexigraft.report.comparison import Comparison, Pair, comparisons
from lexigraft.report.inputs import ReportInputs
from lexigraft.report.origins import read_origins
from lexigraft.report.page import write_report
from lexigraft.report.paper import MEAN, published_scores, reported_languages, task_languages

HYPER, OFA = "hyperofa-mono-100", "ofa-mono-100"


def printed(model: str, step: int, task: str, language: str, table: int) -> float:
    """A score straight from the file, as the paper prints it."""
    rows = (Path(__file__).parents[3] / "lexigraft" / "data" / "paper_scores.tsv").read_text(encoding="utf-8").splitlines()
    wanted = f"{table}\t{model}\t{step}\t{task}\t{language}\t"
    (row,) = [row for row in rows if row.startswith(wanted)]
    return float(row.removeprefix(wanted))


def compared(inputs: ReportInputs) -> list[Comparison]:
    return comparisons(pl.read_parquet(inputs.scores))


def as_run_says(language: str) -> str:
    return "swl_Latn" if language == "swh_Latn" else language


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """Two of the paper's models and one of its own at both steps, in all languages of pre-training; SR-T in all."""
    few = [as_run_says(language) for language in reported_languages("sr_b")]
    whole = [language for language in task_languages()["sr_t"] if language not in ("msa_Latn", "som_Latn", "mlg_Latn")]
    scores = {
        (model, step, "sr_b"): {language: base + place / 2 for place, language in enumerate(few)}
        for model, base in ((OFA, 5.0), (HYPER, 6.0), ("graft-mono-100", 40.0))
        for step in (0, 4000)
    }
    scores[HYPER, 0, "sr_t"] = {as_run_says(language): 10.0 for language in whole}
    scores["hyperofa-mono-200", 0, "sr_t"] = {as_run_says(language): 12.0 for language in whole}
    return scored_inputs(tmp_path_factory.mktemp("run"), scores)


@pytest.fixture(scope="module")
def report(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(inputs, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return page_of(report)


def test_means_over_the_same_languages_stand_beside_table_4(inputs: ReportInputs) -> None:
    found = compared(inputs)
    assert [(part.task, part.step) for part in found] == [("sr_b", 0), ("sr_b", 4000), ("sr_t", 0)]
    for part in found[:2]:
        assert [row.model for row in part.rows] == [OFA, HYPER]
        for row, base in zip(part.rows, (5.0, 6.0), strict=True):
            assert row.pretrained == Pair(pytest.approx(base + 4.75), printed(row.model, part.step, "sr_b", MEAN, 4))
            assert (row.languages, row.listed, row.all, row.seeds) == (20, 20, None, 1)


def test_means_over_a_whole_list_stand_beside_table_3(inputs: ReportInputs) -> None:
    part = compared(inputs)[2]
    first, second = part.rows
    assert first.all == Pair(10.0, printed(HYPER, 0, "sr_t", MEAN, 3))
    assert first.pretrained == Pair(10.0, printed(HYPER, 0, "sr_t", MEAN, 4))
    assert (second.all, second.pretrained) == (Pair(12.0, printed("hyperofa-mono-200", 0, "sr_t", MEAN, 3)), None)
    assert (first.covered, part.listed) == (99, 102)


def test_languages_stand_beside_the_table_that_has_them(inputs: ReportInputs) -> None:
    first, last, other = compared(inputs)
    for part, number in ((first, 8), (last, 8), (other, 9)):
        (block,) = part.blocks
        assert block.number == number
        assert [language for language, _ in block.rows] == [as_run_says(language) for language in reported_languages("sr_b")]
        for place, (language, pairs) in enumerate(block.rows):
            for model, pair in zip(block.models, pairs, strict=True):
                base = {"sr_t": 10.0, "sr_b": (5.0 if model == OFA else 6.0) + place / 2}[part.task]
                assert pair == Pair(pytest.approx(base), printed(model, part.step, part.task, language, number))
                assert pair.difference == pytest.approx(base - pair.paper)


def test_of_fewer_languages_the_paper_s_mean_is_over_the_same_ones(tmp_path: Path) -> None:
    run = scored_inputs(
        tmp_path, {(HYPER, 0, "sr_b"): {"tur_Latn": 20.0, "swh_Latn": 30.0, "eng_Latn": 90.0, "fra_Latn": 70.0}}
    )
    ((row,),) = [part.rows for part in compared(run)]
    paper = [printed(HYPER, 0, "sr_b", language, 8) for language in ("tur_Latn", "swl_Latn")]
    assert row.pretrained == Pair(25.0, pytest.approx(sum(paper) / 2))
    assert (row.languages, row.listed, row.all, row.covered) == (2, 20, None, 3)


def test_several_seeds_are_compared_by_their_mean(tmp_path: Path) -> None:
    scores = {(f"{HYPER}-seed{seed}", 0, "sr_b"): {"tur_Latn": 10.0 * seed} for seed in (1, 2, 6)}
    run = scored_inputs(tmp_path, scores)
    ((row,),) = [part.rows for part in compared(run)]
    assert (row.model, row.seeds) == (HYPER, 3)
    assert row.pretrained == Pair(pytest.approx(30.0), printed(HYPER, 0, "sr_b", "tur_Latn", 8))
    assert "the mean is compared" in page_of(written(run, tmp_path)).texts["paper"]


def test_labels_of_table_11_that_cannot_be_right_are_not_compared(inputs: ReportInputs) -> None:
    scores = pl.read_parquet(inputs.scores).filter(pl.col("metric") == "top_10", pl.col("model") == HYPER).head(1)
    languages = [*reported_languages("pos"), "khm_Khmr", "kab_Latn"]
    tagged = pl.concat([scores.with_columns(pl.lit(code).alias("language")) for code in languages]).with_columns(
        pl.lit("pos").alias("task"), pl.lit("f1").alias("metric"), pl.lit(50.0).alias("score")
    )
    (part,) = comparisons(tagged)
    (block,) = part.blocks
    certain = ["eng_Latn", "tur_Latn", "ell_Grek", "bul_Cyrl", "ces_Latn", "kor_Hang"]
    assert (block.number, [language for language, _ in block.rows]) == (11, certain)
    # nine languages, whatever their labels: the mean is comparable
    assert part.rows[0].pretrained == Pair(pytest.approx(50.0), printed(HYPER, 0, "pos", MEAN, 4))
    without_gaelic = comparisons(tagged.filter(pl.col("language") != "gla_Latn"))[0].rows[0]
    assert (without_gaelic.languages, without_gaelic.listed) == (6, 9)


def test_what_the_paper_has_not_is_not_compared(tmp_path: Path) -> None:
    share = {"fra_Latn": 10.0}
    names = {("ofa-minilm-100", 0, "sr_b"): share, (HYPER, 60, "sr_b"): share, (HYPER, 0, "sr-b"): share}
    other = scored_inputs(tmp_path, {**names, ("ofa-mono-200", 4000, "sr_b"): share, (OFA, 0, "sr_b"): share})
    assert compared(other) == []
    text = written(other, tmp_path).read_text(encoding="utf-8")
    assert 'id="paper"' not in text
    assert "#paper" not in text


def test_page_shows_ours_the_paper_s_and_the_difference(inputs: ReportInputs, page: Page) -> None:
    tables = page.tables["paper"]
    assert len(tables) == 6
    assert tables[0][1] == ["here", "paper", "difference", "languages"]
    paper = printed(HYPER, 0, "sr_b", MEAN, 4)
    assert tables[0][3] == [HYPER, "10.8", f"{paper:.1f}", f"{10.75 - paper:+.1f}", "20 of 20"]
    assert tables[1][2][0] == "tur_Latn"
    turkish = printed(HYPER, 0, "sr_b", "tur_Latn", 8)
    assert tables[1][2][4:] == ["6.0", f"{turkish:.1f}", f"{6 - turkish:+.1f}".replace("-", "−")]
    assert tables[4][3][1:5] == ["–"] * 4
    assert tables[4][3][5:] == ["12.0", "7.5", "+4.5", "99 of 102"]
    assert len(inputs.rows) == 8


def table_2(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "token_origins.parquet"
    write_table(path, pl.DataFrame(rows), Provenance("token_origins"))
    return path


def test_token_origins_stand_beside_table_2_of_the_same_model(inputs: ReportInputs, tmp_path: Path) -> None:
    rows = [
        {"model": HYPER, "copied": 26_912, "computed": 179_300, "mean": 0, "random": 194_788, "total": 401_000},
        {"model": "graft-mono-100", "copied": 20_000, "computed": 181_000, "mean": 200_000, "random": 0, "total": 401_000},
    ]
    made = dataclasses.replace(inputs, token_origins=table_2(tmp_path, rows))
    page = page_of(written(made, tmp_path))
    head, first, second = page.tables["tokens"][0]
    assert head == ["model", "copied", "computed", "mean", "random", "total"]
    cells = ["26,912 6.7\u00a0% paper 27K", "179,300 44.7\u00a0% paper 179K", "0 0.0\u00a0%", "194,788 48.6\u00a0% paper 195K"]
    assert first == [HYPER, *cells, "401,000 paper 401K"]
    assert second[1:] == ["20,000 5.0\u00a0%", "181,000 45.1\u00a0%", "200,000 49.9\u00a0%", "0 0.0\u00a0%", "401,000"]
    other = {"model": HYPER, "copied": 1_000, "computed": 2_000, "mean": 0, "random": 1_000, "total": 4_000}
    assert read_origins(table_2(tmp_path, [other]), inputs.models())[HYPER].paper is None
    rows[0]["computed"] = 179_299
    with pytest.raises(ArtifactError, match=f"400999 tokens of {HYPER} by origin, but 401000"):
        write_report(dataclasses.replace(inputs, token_origins=table_2(tmp_path, rows)), tmp_path / "none.html")


def test_all_published_models_have_their_place(tmp_path: Path) -> None:
    models = published_scores()["model"].unique(maintain_order=True).to_list()
    assert len(models) == 18
    run = scored_inputs(
        tmp_path, {(model, 0, "sr_b"): dict.fromkeys(task_languages()["sr_b"], 7.0) for model in models}, queries=100
    )
    (part,) = compared(run)
    assert [row.model for row in part.rows] == models
    assert all(row.all is not None and row.covered == 321 for row in part.rows)
    assert [block.number for block in part.blocks] == [8, 12]


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
def test_browser_has_nothing_to_say_about_it(report: Path, tmp_path: Path) -> None:
    messages, shown = console(report, tmp_path)
    assert messages == []
    assert len(Page(shown).tables["paper"]) == 6
