"""The report from made-up artifacts: its numbers, its independence of the network, and what a browser makes of it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq

from lexigraft.artifacts import Provenance, write_table, write_tensors
from lexigraft.errors import ArtifactError
from lexigraft.evaluation.scores import collect_scores, confidence_interval, paired_difference, read_hits
from lexigraft.initializers.base import ORIGINS
from lexigraft.report.charts import thinned
from lexigraft.report.embedding_map import script_of, source_sample, spaced, target_sample
from lexigraft.report.inputs import ReportInputs
from lexigraft.report.neighbour_map import joint_similarities, make_map, nearest_rows, principal_plane, tsne
from lexigraft.report.page import as_json, write_report
from lexigraft.report.readme_picture import write_picture
from lexigraft.report.tables import configuration_sections, corpus_table, phrase
from lexigraft.tokenizers.vocabulary import SCHEMA, Vocabulary

LANGUAGES = ("tur_Latn", "fra_Latn", "kor_Hang", "arb_Arab", "rus_Cyrl")
SCORES = {"random": (0.05, 0.06), "ofa": (0.3, 0.33), "hyperofa": (0.29, 0.14), "graft": (0.6, 0.62)}
HOSTILE = (
    "</script><script>console.error('escaped')</script>",
    "<!--<script>",
    '"><img src=x onerror=console.error(1)>',
    "\u2028&amp;",
)
DIM, WIDTH, SOURCE_SIZE = 6, 10, 320
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000"),
]
TASKS = ("sr-b", "sr-t", "other")


def vocabulary_table(tokens: list[str], surfaces: list[str], roles: list[str | None], counts: list[int]) -> pl.DataFrame:
    columns = {"id": range(len(tokens)), "token": tokens, "surface": surfaces, "role": roles, "count": counts}
    return pl.DataFrame(columns, schema=SCHEMA)


def made_up_words(generator: np.random.Generator, letters: str, count: int) -> list[str]:
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(generator.choice(list(letters), size=int(generator.integers(3, 8))))] = None
    return list(words)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """Four models at two steps, five languages in four scripts, and token strings that want out of the page."""
    folder = tmp_path_factory.mktemp("run")
    generator = np.random.default_rng(7)
    ranks, rows = [], []
    hard = generator.normal(size=200)
    for method, shares in SCORES.items():
        for step, share in zip((0, 400), shares, strict=True):
            parts = []
            for language in LANGUAGES:
                drawn = np.exp(hard + generator.normal(size=200) + np.log(1 / share - 1)) * 10
                rank = [int(value) + 1 if value < 10 else None for value in drawn]
                ids = [f"{place:08d}" for place in range(200)]
                columns = {"language": [language] * 200, "query_id": ids, "rank": pl.Series(rank, dtype=pl.Int32)}
                parts.append(pl.DataFrame(columns))
            path = folder / f"{method}-{step}.parquet"
            write_table(path, pl.concat(parts), Provenance("ranks"))
            ranks.append(path)
            named = {"run": "try", "model": f"{method}-tiny-6", "method": method, "source": "tiny", "target": "bible-1k"}
            rows.append({**named, "dim": DIM, "seed": 1, "step": step, "task": "sr-b"})
    collect_scores(ranks, rows, {key: [1, 5, 10] for key in TASKS}, folder / "scores.parquet", Provenance("scores"))

    english = made_up_words(generator, "abdeilmnorstu", SOURCE_SIZE)
    surfaces = ["<s>", "</s>", "<unk>", *HOSTILE, *(f" {word}" for word in english)]
    roles: list[str | None] = ["bos", "eos", "unk", *[None] * (len(surfaces) - 3)]
    counts = [0] * 3 + [1] * len(HOSTILE) + list(range(2000, 2000 - len(english), -1))
    write_table(folder / "source.parquet", vocabulary_table(surfaces, surfaces, roles, counts), Provenance("source"))
    coordinates = generator.normal(size=(len(surfaces), DIM)).astype(np.float32)
    primitives = generator.normal(size=(DIM, WIDTH)).astype(np.float32)
    factors = {"coordinates": coordinates, "primitives": primitives, "singular_values": np.ones(DIM, dtype=np.float32)}
    write_tensors(folder / "factors.safetensors", factors, Provenance("factors"))

    scripts = {"Latin": "abcçdeéğ", "Hangul": "가나다라마바", "Arabic": "ابتثجح", "Cyrillic": "абвгдеж"}
    words = {script: made_up_words(generator, letters, 40) for script, letters in scripts.items()}
    target = ["<s>", "</s>", "<unk>", *HOSTILE, *english[:30], *(word for found in words.values() for word in found)]
    roles = ["bos", "eos", "unk", *[None] * (len(target) - 3)]
    counts = [0] * 3 + list(range(len(target) - 3, 0, -1))
    table = vocabulary_table(target, [f" {token}" for token in target], roles, counts)
    write_table(folder / "target.parquet", table, Provenance("tokenizer"))
    source_id = {surface.strip(): place for place, surface in enumerate(surfaces)}
    tokens, weights, pretraining = {}, {}, {}
    for method, (share, _) in SCORES.items():
        model = f"{method}-tiny-6"
        copied = [source_id.get(token) for token in target]
        made = generator.choice(["wise", "mean", "random"], p=(0.8, 0.1, 0.1), size=len(target))
        origin = ["copied" if source is not None else str(how) for source, how in zip(copied, made, strict=True)]
        rows_of = generator.normal(size=(len(target), DIM)).astype(np.float32)
        for place, source in enumerate(copied):
            if source is not None:
                rows_of[place] = coordinates[source]
        rows_of[target.index(words["Hangul"][0])] = coordinates[3]  # nearest to the first hostile token
        columns = {"id": range(len(target)), "token": target, "surface": target, "origin": origin, "source_id": copied}
        tokens[model], weights[model] = folder / f"{method}-tokens.parquet", folder / f"{method}.safetensors"
        write_table(tokens[model], pl.DataFrame(columns), Provenance("initialization"))
        names = {"bert.embeddings.coordinates": rows_of, "bert.embeddings.primitives": primitives}
        write_tensors(
            weights[model], {**names, "bert.pooler.weight": np.zeros((2, 2), np.float32)}, Provenance("initialization")
        )
        steps = np.arange(1, 401)
        history = {"step": steps, "tokens": steps * 512, "loss": 4 + 4 * np.exp(-steps / 80) + share}
        pretraining[model] = folder / f"{method}-history.parquet"
        more = {"learning_rate": 5e-5 * (1 - steps / 400), "gradient_norm": np.ones(400)}
        write_table(pretraining[model], pl.DataFrame({**history, **more}), Provenance("pretraining"))
    epochs = np.arange(1, 21)
    parts = [
        pl.DataFrame({"network": network, "epoch": epochs, "split": split}).with_columns(
            loss=1 / epochs + offset * epochs / 20, contrastive=1.0, l1=1.0, cosine=0.5 - 0.3 / epochs, learning_rate=1e-4
        )
        for network in (0, 1)
        for split, offset in (("train", 0.0), ("validation", 0.2))
    ]
    tested = [part.filter(epoch=9).with_columns(split=pl.lit("test")) for part in parts[1::2]]
    write_table(folder / "hypernetwork.parquet", pl.concat([*parts, *tested]), Provenance("hypernetwork"))
    counted = {
        "language": ["eng_Latn", *LANGUAGES],
        "source": list("4tlnyr"),
        "read": 1000,
        "kept": [800, 795, 800, 800, 790, 800],
    }
    dropped = {"held_out": 200, "placeholder": [0, 5, 0, 0, 10, 0]}
    write_table(folder / "counts.parquet", pl.DataFrame({**counted, **dropped}, strict=False), Provenance("corpus"))
    return ReportInputs(
        run="try",
        scores=folder / "scores.parquet",
        ranks=ranks,
        rows=rows,
        configuration={
            "seed": 1,
            "sources": {"tiny": {"path": "</pre><script>console.error('path')</script>", "languages": ["eng_Latn"]}},
            "methods": {"ofa": {"initializer": "ofa", "top_k": 10, "temperature": 0.1}},
            "pretraining": {"steps": 400, "languages": None},
        },
        seed=1,
        corpora={"bible": folder / "counts.parquet"},
        tokens=tokens,
        weights=weights,
        factors=dict.fromkeys(tokens, folder / "factors.safetensors"),
        source_vocabularies={"tiny": folder / "source.parquet"},
        target_vocabularies={"bible-1k": folder / "target.parquet"},
        pretraining=pretraining,
        hypernetworks={"small": folder / "hypernetwork.parquet"},
    )


class Page(HTMLParser):
    """Tables as lists of rows of cell texts, by section; scripts by id; every src and href; ids and classes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.section, self.cell, self.data = "", False, ""
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.bold: dict[str, list[str]] = {}
        self.addresses: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        self.addresses += [str(found[name]) for name in ("src", "href") if name in found]
        if tag == "section":
            self.section = str(found["id"])
            self.tables[self.section] = []
            self.bold[self.section] = []
            self.texts[self.section] = ""
        elif tag == "table":
            self.tables[self.section].append([])
        elif tag == "tr":
            self.tables[self.section][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self.section][-1][-1].append("")
            self.cell = True
            self.best = "best" in str(found.get("class"))
        elif tag in ("small", "br") and self.cell:
            self.tables[self.section][-1][-1][-1] += " "
        elif tag == "script":
            self.scripts.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.cell = False
            if self.best:
                self.bold[self.section].append(self.tables[self.section][-1][-1][-1])

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.tables[self.section][-1][-1][-1] += data.strip()
        elif self.section and self.scripts == []:
            self.texts[self.section] += data
        if self.scripts and self.elements[-1][0] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


@pytest.fixture(scope="module")
def report(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report(inputs, out)
    return out


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def charts(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(text for attributes, text in page.scripts if attributes.get("id") == "charts"))
    return found


def inline_values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of the data of a specification."""
    return [row for rows in spec["datasets"].values() for row in rows]


def test_score_table_shows_means_and_intervals_of_the_ranks(inputs: ReportInputs, page: Page) -> None:
    table = page.tables["scores"][0]
    assert table[:2] == [["model", "sr-b top-10"], ["step 0", "step 400"]]
    assert [line[0] for line in table[2:]] == [f"{method}-tiny-6" for method in SCORES]
    for line, paths in zip(table[2:], zip(inputs.ranks[::2], inputs.ranks[1::2], strict=True), strict=True):
        for cell, path in zip(line[1:], paths, strict=True):
            hits = read_hits(path, 10)
            mean = np.mean([100 * part["hit"].mean() for part in hits.partition_by("language")])  # type: ignore[operator]
            interval = confidence_interval(hits, seed=inputs.seed)
            numbers = [float(number) for number in re.findall(r"\d+\.\d", cell)]
            np.testing.assert_allclose(numbers, [mean, interval.low, interval.high], atol=0.0501)
    assert page.bold["scores"][:2] == table[5][1:]


def test_scores_that_cannot_be_told_from_the_best_are_marked(inputs: ReportInputs, tmp_path: Path) -> None:
    kept = [place for place, row in enumerate(inputs.rows) if row["method"] in ("ofa", "hyperofa")]
    two = dataclasses.replace(
        inputs,
        ranks=[inputs.ranks[place] for place in kept],
        rows=[inputs.rows[place] for place in kept],
        **{kind: {} for kind in ("tokens", "weights", "factors", "pretraining", "hypernetworks")},
    )
    write_report(two, tmp_path / "report.html")
    table = Page((tmp_path / "report.html").read_text(encoding="utf-8")).tables["scores"][0]
    at_step = [[read_hits(two.ranks[model * 2 + step], 10) for model in (0, 1)] for step in (0, 1)]
    separate = [paired_difference(*pair, seed=1).excludes_zero for pair in at_step]
    assert separate == [False, True]
    marked = [["†" in cell for cell in line[1:]] for line in table[2:]]
    assert [sum(column) for column in zip(*marked, strict=True)] == [1, 0]


def test_comparisons_are_paired_differences_with_the_next_model(inputs: ReportInputs, page: Page) -> None:
    table = page.tables["scores"][1]
    difference = paired_difference(read_hits(inputs.ranks[6], 10), read_hits(inputs.ranks[2], 10), seed=inputs.seed)
    line = next(line for line in table[1:] if line[:3] == ["sr-b", "0", "graft − ofa"])
    assert line[3] == f"{difference.mean:+.1f}"
    assert line[4] == f"{difference.low:+.1f} to {difference.high:+.1f}".replace("-", "−")
    assert line[5] == "ahead"
    assert len(table) == 1 + 2 * 3


def test_language_tables_hold_every_score_and_mark_the_best(inputs: ReportInputs, page: Page) -> None:
    scores = pl.read_parquet(inputs.scores).filter(pl.col("metric") == "top_10")
    for table, step in zip(page.tables["scores"][3:], (0, 400), strict=True):
        assert [line[0] for line in table] == ["language", *LANGUAGES, "mean"]
        for line in table[1:-1]:
            chosen = scores.filter(pl.col("language") == line[0], pl.col("step") == step)
            assert line[1] == "200"
            assert line[2:] == [f"{score:.1f}" for score in chosen["score"]]
            assert f"{chosen['score'].max():.1f}" in page.bold["scores"]


def test_corpus_table_counts_what_was_dropped(page: Page) -> None:
    table = page.tables["run"][0]
    assert table[0] == ["language", "source", "read", "kept", "held out", "placeholder"]
    assert table[-1] == ["all", "", "6,000", "4,785", "1,200", "15"]
    assert "6 languages, 4,785 sentences kept, 1,200 sentences held out; dropped: 15 placeholder" in page.texts["run"]


def test_token_table_adds_up_to_the_vocabulary(inputs: ReportInputs, page: Page, charts: dict[str, Any]) -> None:
    size = len(pl.read_parquet(inputs.target_vocabularies["bible-1k"]))
    for line, path in zip(page.tables["tokens"][0][1:], inputs.tokens.values(), strict=True):
        origins = pl.read_parquet(path)["origin"].to_list()
        assert [int(number) for number in line[1:]] == [*(origins.count(origin) for origin in ORIGINS), size]
    drawn = inline_values(charts["origins"])
    assert {row["model"]: sum(r["tokens"] for r in drawn if r["model"] == row["model"]) for row in drawn} == dict.fromkeys(
        SCORES, size
    )


def test_charts_hold_the_numbers_of_the_artifacts(inputs: ReportInputs, charts: dict[str, Any]) -> None:
    assert set(charts) == {
        *("languages-0", "languages-1", "origins", "pretraining", "hypernetwork-loss", "hypernetwork-cosine"),
        *(f"embeddings-{place}" for place in range(4)),
    }
    scores = pl.read_parquet(inputs.scores).filter(pl.col("metric") == "top_10", pl.col("step") == 400)
    expected = {(row["method"], row["language"]): row["score"] for row in scores.iter_rows(named=True)}
    assert {(row["model"], row["language"]): row["score"] for row in inline_values(charts["languages-1"])} == pytest.approx(
        expected
    )
    curve = [row for row in inline_values(charts["pretraining"]) if row["model"] == "graft"]
    history = pl.read_parquet(inputs.pretraining["graft-tiny-6"])
    assert len(curve) == 300
    assert np.mean([row["loss"] for row in curve]) == pytest.approx(history["loss"].mean(), rel=0.01)
    cosine = inline_values(charts["hypernetwork-cosine"])
    assert {(row["name"], row["split"]) for row in cosine} == {("small (1)", "validation"), ("small (2)", "validation")}
    assert max(row["value"] for row in cosine) == pytest.approx(0.5 - 0.3 / 20)


def test_the_kept_epoch_is_the_one_that_was_tested(page: Page) -> None:
    expected = ["20", "9", f"{1 / 9 + 0.2 * 9 / 20:.4f}", f"{0.5 - 0.3 / 9:.3f}"]
    assert page.tables["hypernetwork"][0][1:] == [["small (1)", *expected], ["small (2)", *expected]]


def test_embedding_picture_places_copies_on_their_source_and_names_neighbours(charts: dict[str, Any]) -> None:
    drawn = inline_values(charts["embeddings-3"])
    source = {row["word"]: row for row in drawn if "script" not in row}
    target = [row for row in drawn if "script" in row]
    copied = {row["word"]: row for row in target if row["origin"] == "copied"}
    assert len(copied) == 30
    for word, row in copied.items():
        assert row["nearest"].startswith(f"{word} 1.00, ")
        assert np.hypot(row["x"] - source[word]["x"], row["y"] - source[word]["y"]) < 0.25
    assert {row["script"] for row in target} == {"Latin", "Hangul", "Arabic", "Cyrillic"}
    assert not {row["word"] for row in target} & {"<s>", "</s>", *HOSTILE}
    assert max(abs(row[axis]) for row in source.values() for axis in "xy") == pytest.approx(1, abs=1e-3)
    assert 5 < len({row["word"] for row in target if row["labelled"]}) <= 14
    # the hostile source token is named as a neighbour, as text
    assert any(row["nearest"].startswith(HOSTILE[0]) for row in target)


def test_page_loads_nothing_and_hostile_strings_stay_text(report: Path, page: Page) -> None:
    assert {address.split(":")[0] for address in page.addresses} == {
        address for address in page.addresses if address[0] == "#"
    } | {"data"}
    assert [attributes for attributes, _ in page.scripts] == [{"type": "application/json", "id": "charts"}, {}, {}]
    assert not any(tag in ("img", "iframe", "object", "embed") for tag, _ in page.elements)
    text = report.read_text(encoding="utf-8")
    assert "@import" not in text
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", text.split("<script")[0])
    assert "console.error('path')" in page.texts["configuration"]
    assert report.stat().st_size < 3_000_000


def test_report_is_the_same_bytes_twice(inputs: ReportInputs, report: Path, tmp_path: Path) -> None:
    write_report(inputs, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()


class EngineString(str):
    """A workflow engine's own kind of string."""


def test_paths_and_settings_may_be_strings_of_a_workflow_engine(inputs: ReportInputs, report: Path, tmp_path: Path) -> None:
    def engine(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: engine(item) for key, item in value.items()}
        if isinstance(value, list):
            return [engine(item) for item in value]
        return EngineString(value) if isinstance(value, str | Path) else value

    fields = {field.name: engine(getattr(inputs, field.name)) for field in dataclasses.fields(inputs)}
    write_report(ReportInputs(**fields), EngineString(tmp_path / "report.html"))  # type: ignore[arg-type]
    assert (tmp_path / "report.html").read_bytes() == report.read_bytes()


def test_what_the_run_did_not_make_is_said(inputs: ReportInputs, tmp_path: Path) -> None:
    absent = ("corpora", "tokens", "weights", "factors", "pretraining", "hypernetworks")
    bare = dataclasses.replace(inputs, ranks=inputs.ranks[::2], rows=inputs.rows[::2], **{kind: {} for kind in absent})
    write_report(bare, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "no continual pre-training" in page.texts["pretraining"]
    assert "No method of this run uses a hypernetwork" in page.texts["hypernetwork"]
    assert "no embeddings to picture" in page.texts["embeddings"]
    assert "initialised no models" in page.texts["tokens"]
    assert "no corpus counts" in page.texts["run"]


def test_inputs_that_do_not_fit_are_errors(inputs: ReportInputs, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    with pytest.raises(ValueError, match="8 ranks files but 7 rows"):
        write_report(dataclasses.replace(inputs, rows=inputs.rows[1:]), out)
    with pytest.raises(ValueError, match="pretraining of wechsel-tiny-6: no such model"):
        write_report(dataclasses.replace(inputs, pretraining={"wechsel-tiny-6": inputs.scores}), out)
    with pytest.raises(ValueError, match="'random-tiny-6' cannot be pictured without factors, source vocabulary"):
        write_report(dataclasses.replace(inputs, factors={}, source_vocabularies={}), out)
    plain = tmp_path / "plain.safetensors"
    write_tensors(plain, {"embeddings.weight": np.zeros((4, 4), np.float32)}, Provenance("initialization"))
    with pytest.raises(ArtifactError, match="0 tensors named coordinates"):
        write_report(dataclasses.replace(inputs, weights={"ofa-tiny-6": plain}), out)
    small = {"a.coordinates": np.zeros((4, DIM), np.float32), "a.primitives": np.zeros((DIM, WIDTH), np.float32)}
    write_tensors(plain, small, Provenance("initialization"))
    with pytest.raises(ArtifactError, match="4 embedding rows"):
        write_report(dataclasses.replace(inputs, weights={"ofa-tiny-6": plain}), out)
    assert not out.exists()


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
def test_browser_draws_every_chart_without_a_word_in_its_console(report: Path, page: Page, tmp_path: Path) -> None:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,4000"]
    result = subprocess.run([*command, "--dump-dom", report.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in result.stderr.splitlines() if "CONSOLE" in line] == []
    drawn = Page(result.stdout)
    wanted = [attributes["data-chart"] for _, attributes in page.elements if "data-chart" in attributes]
    assert [
        attributes["data-chart"]
        for _, attributes in drawn.elements
        if "data-chart" in attributes and "drawn" in str(attributes.get("class")).split()
    ] == wanted
    assert len(wanted) == 10
    assert sum(tag == "svg" for tag, attributes in drawn.elements if "marks" in str(attributes.get("class"))) == len(wanted)
    assert sum(tag == "path" for tag, _ in drawn.elements) > 4 * SOURCE_SIZE
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)


def test_readme_picture_is_static_and_repeatable(inputs: ReportInputs, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        write_picture(inputs.scores, inputs.ranks, inputs.rows, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert 'width="800"' in svg
    for path in inputs.ranks:
        assert f">{confidence_interval(read_hits(path, 10)).mean:.1f}</text>" in svg
    for method in SCORES:
        assert f">{method}</text>" in svg
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        write_picture(inputs.scores, inputs.ranks, inputs.rows, tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no task 'ner'"):
        write_picture(inputs.scores, inputs.ranks, inputs.rows, tmp_path / "a.svg", task="ner")


def test_every_row_of_the_kernel_has_the_perplexity_asked_for() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4))
    joint = joint_similarities(rows, 12.0)
    assert joint.sum() == pytest.approx(1)
    np.testing.assert_allclose(joint, joint.T)
    distances = ((rows[:, None] - rows) ** 2).sum(-1)
    expected = np.zeros((60, 60))
    for place in range(60):
        others = np.delete(distances[place], place)

        def surplus(log_precision: float, others: Any = others) -> float:
            kernel = np.exp(-(others - others.min()) * np.exp(log_precision))
            kernel /= kernel.sum()
            return float(-(kernel * np.log(np.maximum(kernel, 1e-300))).sum() - np.log(12.0))

        kernel = np.exp(-(others - others.min()) * np.exp(brentq(surplus, -20, 20)))
        expected[place] = np.insert(kernel / kernel.sum(), place, 0.0)
    np.testing.assert_allclose(joint, (expected + expected.T) / 120, rtol=1e-5, atol=1e-12)


def test_map_keeps_groups_apart_and_does_not_change_from_run_to_run() -> None:
    generator = np.random.default_rng(1)
    centres = 5 * generator.normal(size=(4, 12))
    rows = np.repeat(centres, 30, axis=0) + generator.normal(size=(120, 12))
    found = make_map(rows)
    distance = ((found.places[:, None] - found.places) ** 2).sum(-1) + np.diag(np.full(120, np.inf))
    assert np.mean(np.arange(120) // 30 == distance.argmin(1) // 30) > 0.98
    assert np.ptp(found.places, axis=0).max() == pytest.approx(2)
    np.testing.assert_array_equal(found.places, make_map(rows).places)
    np.testing.assert_array_equal(tsne(rows), tsne(rows))
    # a target row at a centre is placed inside that centre's group
    for group, place in enumerate(found.place(centres)):
        members = found.places[30 * group : 30 * group + 30]
        assert np.all((members.min(0) <= place) & (place <= members.max(0)))


def test_principal_plane_is_that_of_the_covariance() -> None:
    rows = np.random.default_rng(2).normal(size=(200, 5)) * [5, 3, 1, 1, 1]
    plane = principal_plane(rows)
    values = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    np.testing.assert_allclose(np.cov(plane.T), np.diag(values[:2]), atol=1e-9)
    shifted = principal_plane(rows + 7)
    np.testing.assert_allclose(plane, shifted, atol=1e-9)


def test_nearest_rows_are_those_of_brute_force_over_blocks() -> None:
    generator = np.random.default_rng(3)
    coordinates, primitives = (
        generator.normal(size=(20_000, 6)).astype(np.float32),
        generator.normal(size=(6, 9)).astype(np.float32),
    )
    queries, mean = generator.normal(size=(7, 9)), generator.normal(size=9)
    candidates = np.arange(1, 20_000, 2)
    ids, cosines = nearest_rows(queries, coordinates, primitives, candidates, mean, 3)
    rows = coordinates.astype(np.float64) @ primitives - mean
    left = queries - mean
    cosine = left @ rows.T / np.linalg.norm(left, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
    cosine[:, ::2] = -2
    np.testing.assert_array_equal(ids, np.argsort(-cosine, axis=1)[:, :3])
    np.testing.assert_allclose(cosines, np.sort(cosine, axis=1)[:, ::-1][:, :3], atol=1e-5)


def vocabulary_of(surfaces: list[str], counts: list[int]) -> Vocabulary:
    return Vocabulary(tuple(surfaces), tuple(surfaces), (None,) * len(surfaces), np.array(counts, dtype=np.int64))


def test_source_sample_is_of_frequent_words_or_evenly_spaced() -> None:
    surfaces = [" water", "ing", " 12", " of", " king", " the", " sea", " far"]
    assert source_sample(vocabulary_of(surfaces, [5, 90, 80, 70, 9, 60, 9, 1]), 3).words == ["the", "king", "sea"]
    assert source_sample(vocabulary_of(surfaces, [0] * 8), 3).words == ["water", "the", "far"]


def test_target_sample_takes_the_frequent_words_of_each_script() -> None:
    surfaces = [" su", " deniz", "x", " 바다", "물", " море", " <s>", " 7"]
    sample = target_sample(vocabulary_of(surfaces, [9, 8, 99, 7, 6, 1, 50, 60]), count=2, scripts=2)
    assert sample.words == ["su", "deniz", "바다", "물"]
    assert sample.scripts == ["Latin", "Latin", "Hangul", "Hangul"]
    assert sorted(sample.label_order) == sorted(set(sample.label_order))
    assert sample.words[int(np.argmin(sample.label_order))] == "deniz"


@pytest.mark.parametrize(
    ("text", "script"),
    [("su", "Latin"), ("море", "Cyrillic"), ("바다", "Hangul"), ("بحر", "Arabic"), ("海", "Han"), ("うみ", "Kana")],
)
def test_script_of(text: str, script: str) -> None:
    assert script_of(text) == script


def test_labels_that_would_touch_are_left_out() -> None:
    places = np.array([[0.0, 0.0], [0.1, 0.01], [0.1, 0.5], [0.9, 0.0], [-0.9, 0.0]])
    assert spaced(places, np.array([1, 2, 3, 4, 0]), 3).tolist() == [True, False, True, True, False]
    assert spaced(places, np.array([2, 1, 0, 0, 0]), 3).tolist() == [False, True, False, False, False]


def test_thinned_curves_keep_their_means() -> None:
    history = pl.DataFrame({"model": "a", "step": range(3000), "loss": np.random.default_rng(0).random(3000)})
    thin = thinned(history.sample(fraction=1.0, shuffle=True, seed=0), "step", 300)
    assert thin.schema == history.schema
    np.testing.assert_allclose(thin["loss"].to_numpy(), history["loss"].to_numpy().reshape(300, 10).mean(1))
    assert thinned(history, "step", 3000).equals(history)


def test_configuration_in_words() -> None:
    assert phrase({"initializer": "ofa", "top_k": 10, "temperature": 0.1, "verify": None}) == "ofa, top k 10, temperature 0.1"
    assert phrase({"translations": {"eng_Latn": "4"}, "vocab_size": 30_000, "balanced": True}) == (
        "translations (eng_Latn 4), vocab size 30,000, balanced yes"
    )
    sections = configuration_sections({"seed": 1, "methods": {"ofa": {"top_k": 1}}, "pretraining": {"steps": 4}, "none": {}})
    assert sections == [("methods", [("ofa", "top k 1")]), ("pretraining", [("", "steps 4")])]


def test_corpus_without_drops_and_one_language() -> None:
    counts = pl.DataFrame({"language": ["tur_Latn"], "source": ["t.txt"], "read": [5], "kept": [5]})
    assert corpus_table("small", counts).summary() == "1 language, 5 sentences kept"


def test_json_inside_a_script_cannot_end_it() -> None:
    value = {"token": "</script><!-- & \u2028", "number": 1.5}
    text = as_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json([float("nan")])
