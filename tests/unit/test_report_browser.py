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
from page_cases import CHROMIUM, FLAGS, Page, console
from report_cases import LANGUAGES, SCORES, make_inputs, written

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
  const until = async (done) => { while (!done()) await new Promise((next) => setTimeout(next, 20)); };
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


def test_pictures_change_their_axis_and_are_saved(answer: dict[str, Any]) -> None:
    assert (answer["before"], answer["after"]) == ("optimizer step", "tokens seen")
    assert answer["files"]["pretraining.svg"].startswith("<svg ")
    assert answer["files"]["pretraining.png"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize("width", [1200, 500])
def test_a_picture_of_the_page(report: Path, tmp_path: Path, width: int) -> None:
    """On a screen and in a phone's width (headless windows are at least 500 wide): nothing is wider than the window."""
    picture = tmp_path / "page.png"
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},3000"]
    subprocess.run([*command, f"--screenshot={picture}", report.as_uri()], capture_output=True, timeout=120, check=True)
    assert picture.read_bytes()[1:4] == b"PNG"
    wide = tmp_path / "wide.html"
    measure = "document.title = `${document.documentElement.scrollWidth} ${innerWidth}`;"
    script = f"<script>addEventListener('load', () => setTimeout(() => {{ {measure} }}, 500));</script></body>"
    wide.write_text(script.join(report.read_text(encoding="utf-8").rsplit("</body>", 1)), encoding="utf-8")
    _, shown = console(wide, tmp_path, width)
    needed, there = map(int, re.search(r"<title>(\d+) (\d+)</title>", shown).groups())  # type: ignore[union-attr]
    assert needed <= there


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
