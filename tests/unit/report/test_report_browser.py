"""The report in a real browser: drawn, sorted, filtered and saved, at once and without a word in the console."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from page_cases import CHROMIUM, FLAGS, Page, console, page_of
from report_cases import LANGUAGES, SCORES, SOURCE_SIZE, make_inputs, written

from benchmarks.bench_report import made_up_run

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")

DRIVER = """
<script>
(async () => {
  const said = {};
  const saved = {};
  const blobs = {};
  URL.createObjectURL = (blob) => {
    const address = `blob:${Object.keys(blobs).length}`;
    blobs[address] = blob;
    return address;
  };
  HTMLAnchorElement.prototype.click = function () { saved[this.download] = this.href; };
  const until = async (done) => { while (!done()) await new Promise((next) => setTimeout(next, 5)); };
  const drawn = () => document.querySelectorAll("[data-chart]:not(.drawn)").length === 0;
  await until(drawn);
  const table = document.querySelector("table.languages");
  table.closest("details").open = true;
  const heads = [...table.tHead.rows[0].cells];
  const column = (place) => [...table.tBodies[0].rows].map((row) => row.cells[place].firstChild.textContent);
  heads[5].click();
  said.falling = column(5);
  heads[5].click();
  said.rising = column(5);
  heads[0].click();
  said.names = column(0);
  const metrics = document.querySelector("[data-name=bible-fertility]");
  metrics.tHead.rows[1].cells[0].click();
  said.fertility = [...metrics.tBodies[0].rows].map((row) => row.cells[2].textContent);
  const long = document.querySelector("#scores details table");
  const filter = long.closest("details").querySelector("input[type=search]");
  if (filter) {
    filter.value = "graft 400";
    filter.dispatchEvent(new Event("input"));
    said.filtered = [...long.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[2].textContent);
  }
  const press = (near, text) => [...near.querySelectorAll(".tools button")].find((one) => one.textContent === text).click();
  press(table.closest("details"), "CSV");
  press(table.closest("details"), "LaTeX");
  press(document.querySelector("#scores"), "LaTeX");
  const figure = document.querySelector("[data-chart=pretraining]");
  const axis = () => figure.querySelector("svg .role-axis-title").textContent;
  said.before = axis();
  press(figure.parentNode, "by tokens seen");
  await until(() => axis() !== said.before);
  said.after = axis();
  const held = document.querySelector("[data-chart=held-out]");
  const choice = held.parentNode.querySelector("select");
  choice.value = "fra_Latn";
  choice.dispatchEvent(new Event("change"));
  press(figure.parentNode, "SVG");
  press(figure.parentNode, "PNG");
  await until(() => saved["pretraining.svg"] && saved["pretraining.png"]);
  const buttons = (bar) => [...(bar || document.body).querySelectorAll("button")].map((one) => one.textContent);
  said.tables = [...document.querySelectorAll("main table")].map((one) =>
    buttons((one.closest(".scroll") || one).previousElementSibling));
  said.figures = [...document.querySelectorAll("[data-chart]")].map((one) => buttons(one.nextElementSibling));
  for (const one of document.querySelectorAll(".tools button")) if (/CSV|LaTeX|SVG|PNG/.test(one.textContent)) one.click();
  const all = 2 * (said.tables.length + said.figures.length);
  await until(() => Object.keys(saved).length === all);
  said.sizes = {};
  for (const [name, address] of Object.entries(saved))
    said.sizes[name] = blobs[address] ? blobs[address].size : address.length;
  said.files = {};
  for (const [name, address] of Object.entries(saved))
    said.files[name] = blobs[address] ? await blobs[address].text() : address.slice(0, 4000);
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify(said);
  document.body.append(answer);
})();
</script>
</body>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(make_inputs(tmp_path_factory.mktemp("run")), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def answer(report: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a reader's clicks do, told by a script at the end of the page."""
    folder = tmp_path_factory.mktemp("driven")
    driven = folder / "driven.html"
    driven.write_text(DRIVER.join(report.read_text(encoding="utf-8").rsplit("</body>", 1)), encoding="utf-8")
    messages, shown = console(driven, folder)
    assert messages == []
    found = re.search(r'<pre id="answer">(.*?)</pre>', shown, flags=re.DOTALL)
    assert found, "the script at the end of the page did not come to its end"
    said: dict[str, Any] = json.loads(Page(f"<section id=a>{found[0]}</section>").texts["a"])
    return said


def test_browser_draws_every_chart_without_a_word_in_its_console(report: Path, tmp_path: Path) -> None:
    messages, shown = console(report, tmp_path)
    assert messages == []
    page, drawn = page_of(report), Page(shown)
    wanted = [attributes["data-chart"] for _, attributes in page.elements if "data-chart" in attributes]
    assert [
        attributes["data-chart"]
        for _, attributes in drawn.elements
        if "data-chart" in attributes and "drawn" in str(attributes.get("class")).split()
    ] == wanted
    assert len(wanted) == 12
    assert sum(tag == "svg" for tag, attributes in drawn.elements if "marks" in str(attributes.get("class"))) == len(wanted)
    assert sum(tag == "path" for tag, _ in drawn.elements) > 4 * SOURCE_SIZE


def test_a_click_on_a_head_sorts(answer: dict[str, Any]) -> None:
    numbers = [float(text) for text in answer["falling"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == len(LANGUAGES)
    assert [float(text) for text in answer["rising"]] == sorted(numbers)
    assert answer["names"] == sorted(LANGUAGES, reverse=True)
    # what has no number comes last
    assert answer["fertility"][-1] == "–"


def test_words_filter_rows(answer: dict[str, Any]) -> None:
    assert len(answer["filtered"]) == len(SCORES) - 1
    assert all("graft-tiny-6" in text for text in answer["filtered"])


def test_tables_are_saved_as_csv_and_latex(answer: dict[str, Any]) -> None:
    files = answer["files"]
    head, *rows = csv.reader(io.StringIO(files["sr-b-step-0-languages.csv"]))
    assert head == [
        "language",
        "name",
        "family",
        "resources",
        "queries",
        *[f"{m}{end}" for m in SCORES for end in ("", " (interval)")],
    ]
    assert [row[0] for row in rows] == answer["names"]
    assert all(re.fullmatch(r"\d+\.\d", row[5]) and re.fullmatch(r"\d+\.\d–\d+\.\d", row[6]) for row in rows)
    latex = files["sr-b-step-0-languages.tex"]
    assert latex.count("\\\\\n") == 1 + len(LANGUAGES)
    assert "\\textbf{" in latex
    assert "tur\\_Latn & Turkish & " in latex
    assert "–" not in latex
    lines = files["scores.tex"].splitlines()
    assert lines[1] == "\\begin{tabular}{lrr}"
    assert lines[3] == "model & sr-b step 0 & sr-b step 400 \\\\"


def test_every_table_and_every_picture_can_be_saved(answer: dict[str, Any], report: Path) -> None:
    tables, figures = len(answer["tables"]), len(answer["figures"])
    found = page_of(report).elements
    assert (tables, figures) == (sum(tag == "table" for tag, _ in found), sum("data-chart" in named for _, named in found))
    assert tables >= 14
    assert figures >= 12
    assert all(buttons[-2:] == ["CSV", "LaTeX"] for buttons in answer["tables"])
    assert all(buttons[-2:] == ["SVG", "PNG"] for buttons in answer["figures"])
    kinds = [name.rpartition(".")[2] for name in answer["sizes"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {"csv": tables, "tex": tables, "svg": figures, "png": figures}
    assert min(answer["sizes"].values()) > 50


def test_small_print_is_named_in_csv(answer: dict[str, Any]) -> None:
    head, *rows = csv.reader(io.StringIO(answer["files"]["scores.csv"]))
    assert head == [
        *("model", "sr-b step 0", "sr-b step 0 (interval)", "sr-b step 400", "sr-b step 400 (interval)"),
        "sr-b step 400 (change)",
    ]
    assert {row[0] for row in rows} == {f"{method}-tiny-6" for method in SCORES}
    assert {row[5] for row in rows} <= {"better", "worse", "no difference shown"}


def test_pictures_change_their_axis_and_are_saved(answer: dict[str, Any]) -> None:
    assert (answer["before"], answer["after"]) == ("optimizer step", "tokens seen")
    assert answer["files"]["pretraining.svg"].startswith("<svg ")
    assert answer["files"]["pretraining.png"].startswith("data:image/png;base64,iVBOR")


FRAME = """<!DOCTYPE html><title>no answer</title><body style="margin:0">
<script>addEventListener("message", (event) => { document.title = event.data; });</script>
<iframe src="report.html" style="border:0;width:{width}px;height:3000px"></iframe></body>"""
MEASURE = """<script>
addEventListener("load", () => setTimeout(
  () => parent.postMessage(`${document.documentElement.scrollWidth} ${innerWidth}`, "*"), 1000));
</script></body>"""


@pytest.mark.parametrize("width", [1200, 390])
def test_a_picture_of_the_page(report: Path, tmp_path: Path, width: int) -> None:
    """On a screen and in a phone's width (in a frame: headless windows are at least 500 wide) nothing sticks out."""
    measured = MEASURE.join(report.read_text(encoding="utf-8").rsplit("</body>", 1))
    (tmp_path / "report.html").write_text(measured, encoding="utf-8")
    frame, picture = tmp_path / "frame.html", tmp_path / "page.png"
    frame.write_text(FRAME.replace("{width}", str(width)), encoding="utf-8")
    messages, shown = console(frame, tmp_path)
    assert messages == []
    found = re.search(r"<title>(\d+) (\d+)</title>", shown)
    assert found, "the page in the frame did not say how wide it is"
    assert int(found[2]) == width
    assert int(found[1]) <= width
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,3000"]
    subprocess.run([*command, f"--screenshot={picture}", frame.as_uri()], capture_output=True, timeout=120, check=True)
    assert picture.read_bytes()[1:4] == b"PNG"
    assert picture.stat().st_size > 50_000  # a blank page has a few thousand bytes


def test_a_page_of_500_languages_and_18_models_is_small(tmp_path: Path) -> None:
    report = written(made_up_run(tmp_path, 500), tmp_path)
    assert report.stat().st_size < 10_000_000
    found = page_of(report)
    assert [len(table) for table in found.tables["languages"][:8]] == [502] * 8


def test_a_large_run_draws_what_comes_into_sight(tmp_path: Path) -> None:
    """18 models of 4 tasks: heat maps are matrices, and the page says what is best by setting."""
    inputs = made_up_run(tmp_path, 40)
    report = written(inputs, tmp_path)
    text = report.read_text(encoding="utf-8")
    specs = json.loads(next(part for found, part in Page(text).scripts if found.get("id") == "charts"))
    matrix = specs["languages-0"]["usermeta"]["matrix"]
    scores = pl.read_parquet(inputs.scores).filter(task="sr_b", step=0, model="ofa-mono-200")
    place = matrix["models"].index("ofa-mono-200")
    assert [row[place] for row in matrix["score"]] == pytest.approx(scores["score"].round(1).to_list())
    assert matrix["languages"] == scores["language"].to_list()
    assert specs["languages-0"]["datasets"] == {"data": []}
    assert re.search(r"<b>\w+</b> is best in \d of 6 settings, in \d of them shown to be better than the next", text)
    messages, shown = console(report, tmp_path)
    assert messages == []
    assert "drawn" in shown
