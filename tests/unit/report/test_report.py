"""The report from made-up artifacts: its numbers, its independence of the network, and what a browser makes of it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from page_cases import Page, inline_values, page_of
from report_cases import DIM, HOSTILE, LANGUAGES, SCORES, WIDTH, make_inputs, ranks_of, written

from lexigraft.artifacts import Provenance, write_tensors
from lexigraft.errors import ArtifactError
from lexigraft.evaluation.statistics import NO_DIFFERENCE
from lexigraft.factors.tables import INPUT_TABLE
from lexigraft.languages import languages
from lexigraft.report.inputs import ReportInputs
from lexigraft.report.page import as_json, write_report
from lexigraft.report.tables import configuration_sections, corpus_table, phrase
from lexigraft.token_maps.token_map import ORIGINS


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return make_inputs(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def report(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(inputs, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return page_of(report)


@pytest.fixture(scope="module")
def charts(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(text for attributes, text in page.scripts if attributes.get("id") == "charts"))
    return found


def test_main_table_shows_means_intervals_and_what_the_tests_say(inputs: ReportInputs, page: Page) -> None:
    table = page.tables["scores"][0]
    assert table[:2] == [["model", "sr-b top-10"], ["step 0", "step 400"]]
    assert [line[0] for line in table[2:]] == [f"{method}-tiny-6" for method in SCORES]
    intervals = pl.read_parquet(inputs.intervals).filter(language="mean", metric="top_10")
    changes = pl.read_parquet(inputs.comparisons).filter(language="mean", kind="steps")
    for line, method in zip(table[2:], SCORES, strict=True):
        for cell, step in zip(line[1:], (0, 400), strict=True):
            hits = ranks_of(inputs.scores.parent, method, step)
            mean = np.mean([100 * found.mean() for found in hits.values()])
            (row,) = intervals.filter(model=f"{method}-tiny-6", step=step).iter_rows(named=True)
            numbers = [float(number) for number in re.findall(r"\d+\.\d", cell)]
            np.testing.assert_allclose(numbers, [mean, row["low"], row["high"]], atol=0.0501)
        (change,) = changes.filter(first=f"{method}-tiny-6")["verdict"]
        assert line[2].endswith(f" {change}")
    assert page.bold["scores"][:2] == table[5][1:]


def test_scores_of_which_no_difference_from_the_best_is_shown_are_marked(inputs: ReportInputs, tmp_path: Path) -> None:
    rows = [row for row in inputs.rows if row["method"] in ("ofa", "hyperofa")]
    kinds = ("tokens", "weights", "factors", "pretraining", "held_out", "hypernetworks")
    two = dataclasses.replace(inputs, rows=rows, **{kind: {} for kind in kinds})
    table = page_of(written(two, tmp_path)).tables["scores"][0]
    tests = pl.read_parquet(inputs.comparisons).filter(language="mean", kind="methods")
    pair = {"ofa-tiny-6", "hyperofa-tiny-6"}
    verdicts = [row["verdict"] for row in tests.iter_rows(named=True) if {row["first"], row["second"]} == pair]
    assert verdicts == [NO_DIFFERENCE, "better"]
    marked = [["†" in cell for cell in line[1:]] for line in table[2:]]
    assert [sum(column) for column in zip(*marked, strict=True)] == [1, 0]


def test_comparisons_are_those_of_the_artifact(inputs: ReportInputs, page: Page) -> None:
    comparisons = pl.read_parquet(inputs.comparisons)
    methods, steps = page.tables["scores"][1:3]
    assert len(methods) == 1 + 2 * 6
    assert len(steps) == 1 + 4
    key = {"kind": "methods", "first": "graft-tiny-6", "second": "ofa-tiny-6", "first_step": 0}
    (row,) = comparisons.filter(**key, language="mean").iter_rows(named=True)
    line = next(line for line in methods if line[:3] == ["sr-b", "0", "graft-tiny-6 − ofa-tiny-6"])
    assert line[3] == f"{row['difference']:+.1f} {row['low']:+.1f} to {row['high']:+.1f}"
    assert line[4:6] == ["< 0.001", "better"]
    better = comparisons.filter(pl.col("language") != "mean", **key).filter(verdict="better")
    assert line[6:] == [str(len(better)), "0", str(len(LANGUAGES) - len(better))]


def test_language_tables_hold_every_score_and_mark_the_best(inputs: ReportInputs, page: Page) -> None:
    scores = pl.read_parquet(inputs.scores).filter(pl.col("metric") == "top_10")
    intervals = pl.read_parquet(inputs.intervals).filter(metric="top_10")
    for table, step in zip(page.tables["languages"], (0, 400), strict=False):
        assert [line[0] for line in table] == ["language", *LANGUAGES, "mean"]
        for line in table[1:-1]:
            chosen = scores.filter(language=line[0], step=step)
            ends = intervals.filter(language=line[0], step=step)
            assert line[1:5] == [*language_facts(line[0]), "200"]
            assert [re.split(r"[ †]+", cell) for cell in line[5:]] == [
                [f"{score:.1f}", f"{low:.1f}–{high:.1f}"]
                for score, low, high in zip(chosen["score"], ends["low"], ends["high"], strict=True)
            ]
            assert line[5:][int(chosen["score"].arg_max() or 0)] in page.bold["languages"]


def language_facts(code: str) -> list[str]:
    known = languages()[code]
    return [known.name, known.family, known.resource or ""]


def test_means_over_groups_of_languages(inputs: ReportInputs, page: Page) -> None:
    table = page.tables["languages"][3]
    scores = pl.read_parquet(inputs.scores).filter(metric="top_10", step=400)
    mean = scores.filter(pl.col("language").is_in(["tur_Latn", "fra_Latn"])).group_by("method", maintain_order=True)
    assert ["script", "Latn", "2", *(f"{score:.1f}" for score in mean.agg(pl.col("score").mean())["score"])] in table
    assert [line[:3] for line in table if line[0] == "source model"] == [["source model", "unseen", "5"]]
    assert {line[1] for line in table if line[0] == "resource class"} <= {"high", "mid", "low", "unknown"}


def test_a_language_is_seen_whichever_of_its_names_is_used(inputs: ReportInputs, tmp_path: Path) -> None:
    """The scores are of arb_Arab and kor_Hang: a source of ara_Arab and kor_Kore has seen both."""
    seen = {"sources": {"tiny": {"languages": ["ara_Arab", "kor_Kore", "tur_Arab"]}}}
    table = page_of(written(dataclasses.replace(inputs, configuration=seen), tmp_path)).tables["languages"][3]
    rows = {line[1]: line[2:] for line in table if line[0] == "source model"}
    scores = pl.read_parquet(inputs.scores).filter(metric="top_10", step=400)
    for name, codes in (("seen", ["arb_Arab", "kor_Hang"]), ("unseen", ["tur_Latn", "fra_Latn", "rus_Cyrl"])):
        means = (
            scores.filter(pl.col("language").is_in(codes)).group_by("method", maintain_order=True).agg(pl.col("score").mean())
        )
        assert rows[name] == [str(len(codes)), *(f"{score:.1f}" for score in means["score"])]


def test_fertility_of_source_and_target_side_by_side(page: Page) -> None:
    table = page.tables["languages"][4]
    assert table[0] == ["language", "sentences", "source tiny", "target bible-1k"]
    assert table[2] == ["tur_Latn", "200", "2.00", "4.50", "4.00", "2.25"]
    assert table[4][0] == "kor_Hang"
    assert table[4][2::2] == ["–", "–"]


def test_held_out_losses_by_language(page: Page, charts: dict[str, Any]) -> None:
    table = page.tables["pretraining"][0]
    assert table[0] == ["language", *SCORES]
    assert table[2] == ["tur_Latn", *[f"{5 + shares[0] - gain:.3f}" for shares in SCORES.values() for gain in (0, 1)]]
    choice = charts["held-out"]["usermeta"]["choice"]
    assert choice["names"] == ["mean over languages", *LANGUAGES[:3]]
    graft = next(series for series in choice["series"] if series["model"] == "graft")
    assert graft["tokens"] == [0, 200 * 512, 400 * 512]
    assert graft["loss"]["fra_Latn"] == pytest.approx([6.6, 6.1, 5.6])
    assert graft["loss"]["mean over languages"] == pytest.approx([6.6, 6.1, 5.6])
    drawn = [row for row in inline_values(charts["held-out"]) if row["model"] == "graft"]
    assert [row["loss"] for row in drawn] == graft["loss"]["mean over languages"]


def test_corpus_table_counts_what_was_dropped(page: Page) -> None:
    table = page.tables["run"][0]
    assert table[0] == ["language", "source", "read", "kept", "held out", "placeholder", "held out repeated"]
    assert table[-1] == ["all", "", "6,000", "4,785", "1,200", "15", "2"]
    # "A cat." stands three times in the Turkish test sentences
    assert [(row[0], row[-1]) for row in table[1:4]] == [("eng_Latn", "0"), ("tur_Latn", "2"), ("fra_Latn", "0")]
    told = "6 languages, 4,785 sentences kept, 1,200 sentences held out, 2 of these repeat another; dropped: 15 placeholder"
    assert told in page.texts["run"]


def test_token_table_adds_up_to_the_vocabulary(inputs: ReportInputs, page: Page, charts: dict[str, Any]) -> None:
    size = len(pl.read_parquet(inputs.target_vocabularies["bible-1k"]))
    for line, path in zip(page.tables["tokens"][0][1:], inputs.tokens.values(), strict=True):
        origins = pl.read_parquet(path)["origin"].to_list()
        counts = [origins.count(origin) for origin in ORIGINS]
        assert line[1:] == [*(f"{count} {100 * count / size:.1f}\u00a0%" for count in counts), str(size)]
    drawn = inline_values(charts["origins"])
    assert {row["model"]: sum(r["tokens"] for r in drawn if r["model"] == row["model"]) for row in drawn} == dict.fromkeys(
        SCORES, size
    )


def test_charts_hold_the_numbers_of_the_artifacts(inputs: ReportInputs, charts: dict[str, Any]) -> None:
    assert set(charts) == {
        *("languages-0", "languages-1", "origins", "pretraining", "held-out"),
        *("hypernetwork-loss", "hypernetwork-cosine", "hypernetwork-l1"),
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
    error = inline_values(charts["hypernetwork-l1"])
    assert {(row["epoch"], row["value"]) for row in error} == {(epoch, round(1 + 0.5 / epoch, 4)) for epoch in range(1, 21)}


def test_the_kept_epoch_is_the_one_that_was_tested(page: Page) -> None:
    expected = ["20", "9", f"{1 / 9 + 0.2 * 9 / 20:.4f}", f"{0.5 - 0.3 / 9:.3f}", f"{1 + 0.5 / 9:.3f}"]
    assert page.tables["hypernetwork"][0][1:] == [["small (1)", *expected], ["small (2)", *expected]]


def test_predictions_stand_beside_ofa_for_the_same_tokens(page: Page) -> None:
    head, groups, *lines = page.tables["hypernetwork"][1]
    assert (head, groups) == (["network", "split", "tokens", "cosine", "L1"], ["network", "OFA", "network", "OFA"])
    assert lines == [
        ["small", "validation", "25", "0.310", "0.350", "0.690", "0.650"],
        ["small", "test", "5", "0.290", "0.330", "0.710", "0.670"],
    ]
    assert "Such quality does not choose a method" in page.texts["hypernetwork"]


def test_embedding_picture_places_copies_on_their_source_and_names_neighbors(charts: dict[str, Any]) -> None:
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
    assert 5 < len({row["word"] for row in target if row["labeled"]}) <= 14
    # the hostile source token is named as a neighbor, as text
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
    absent = ["corpora", "test_sentences", "tokens", "weights", "factors", "pretraining", "held_out"]
    absent += ["fertility", "hypernetworks", "quality"]
    bare = dataclasses.replace(inputs, rows=inputs.rows[::2], token_origins=None, **{kind: {} for kind in absent})
    page = page_of(written(bare, tmp_path))
    assert "no continual pre-training" in page.texts["pretraining"]
    assert "No method of this run uses a hypernetwork" in page.texts["hypernetwork"]
    assert "no embeddings to picture" in page.texts["embeddings"]
    assert "initialized no models" in page.texts["tokens"]
    assert "no corpus counts" in page.texts["run"]


def test_inputs_that_do_not_fit_are_errors(inputs: ReportInputs, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    plain = tmp_path / "plain.safetensors"
    write_tensors(plain, {"embeddings.weight": np.zeros((4, 4), np.float32)}, Provenance("initialized_model"), {})
    with pytest.raises(ArtifactError, match="names no table of embeddings"):
        write_report(dataclasses.replace(inputs, weights={"ofa-tiny-6": plain}), out)
    small = {"a.coordinates": np.zeros((4, DIM), np.float32), "a.primitives": np.zeros((DIM, WIDTH), np.float32)}
    write_tensors(plain, small, Provenance("initialized_model"), {INPUT_TABLE: list(small)})
    with pytest.raises(ArtifactError, match="4 embedding rows"):
        write_report(dataclasses.replace(inputs, weights={"ofa-tiny-6": plain}), out)
    assert not out.exists()


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
