"""Pictures of the report: maps of embeddings against brute force, thinned curves, and the README's static picture."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from report_cases import SCORES, make_inputs
from scipy.optimize import brentq

from lexigraft.artifacts import Provenance, read_tensors, write_table, write_tensors
from lexigraft.errors import InputError
from lexigraft.factors.tables import INPUT_TABLE
from lexigraft.report.charts import thinned
from lexigraft.report.curves_picture import curves, over_seeds, write_curves
from lexigraft.report.embedding_map import embedding_maps, script_of, source_sample, spaced, target_sample
from lexigraft.report.inputs import ReportInputs
from lexigraft.report.neighbor_map import joint_similarities, make_map, principal_plane, tsne
from lexigraft.report.readme_picture import write_picture
from lexigraft.tokenizers.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return make_inputs(tmp_path_factory.mktemp("run"))


def test_model_that_is_not_factorized_has_the_same_map(inputs: ReportInputs, tmp_path: Path) -> None:
    model = "ofa-tiny-6"
    tensors = read_tensors(inputs.weights[model], "initialized_model")
    table = tensors["bert.embeddings.coordinates"] @ tensors["bert.embeddings.primitives"]
    full = tmp_path / "model.safetensors"
    write_tensors(full, {"table": table}, Provenance("initialized_model"), {INPUT_TABLE: ["table"]})
    models = {model: inputs.models()[model]}
    factorized, whole = (
        embedding_maps(dataclasses.replace(inputs, weights={model: path}), models)[model]["datasets"]["target"]
        for path in (inputs.weights[model], full)
    )
    assert [row["nearest"] for row in whole] == [row["nearest"] for row in factorized]
    for axis in "xy":
        np.testing.assert_allclose([row[axis] for row in whole], [row[axis] for row in factorized], atol=2e-3)


def test_of_models_that_differ_in_their_seed_the_first_is_pictured(inputs: ReportInputs) -> None:
    first = next(iter(inputs.models().values()))
    seeds = {
        f"same-tiny-6-seed{seed}": dataclasses.replace(first, name=f"same-tiny-6-seed{seed}", seed=seed) for seed in (3, 1, 2)
    }
    files = {kind: dict.fromkeys(seeds, getattr(inputs, kind)[first.name]) for kind in ("weights", "tokens", "factors")}
    assert list(embedding_maps(dataclasses.replace(inputs, **files), seeds)) == ["same-tiny-6-seed3"]


def test_readme_picture_is_static_and_repeatable(inputs: ReportInputs, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        write_picture(inputs.scores, inputs.intervals, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert 'width="800"' in svg
    means = pl.read_parquet(inputs.scores).filter(metric="top_10").group_by("model", "step").agg(pl.col("score").mean())
    for mean in means["score"]:
        assert f">{mean:.1f}</text>" in svg
    for method in SCORES:
        assert f">{method}</text>" in svg
    with pytest.raises(InputError, match=r"\.svg or \.png"):
        write_picture(inputs.scores, inputs.intervals, tmp_path / "a.jpg")
    with pytest.raises(InputError, match="no task 'ner'"):
        write_picture(inputs.scores, inputs.intervals, tmp_path / "a.svg", task="ner")


@pytest.fixture
def held_out(inputs: ReportInputs, tmp_path: Path) -> dict[str, Path]:
    """Held-out losses of two models of the run, in two languages."""
    paths = {}
    for place, name in enumerate(list(inputs.models())[:2]):
        codes = (("tur_Latn", 1), ("rus_Cyrl", 0))
        rows = [(step, code, 8 - place - step / 400 + shift) for step in (0, 400) for code, shift in codes]
        table = pl.DataFrame(rows, schema=["step", "language", "loss"], orient="row")
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(paths[name], table, Provenance("pretraining"))
    return paths


def test_curves_are_static_and_repeatable(inputs: ReportInputs, held_out: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png"):
        write_curves(inputs.scores, held_out, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    for name in inputs.models():
        assert (f">{name}</text>" in svg) == (name in held_out)
    with pytest.raises(InputError, match="no scores of a task 'sr-c'; did you mean 'sr-b'"):
        write_curves(inputs.scores, held_out, tmp_path / "c.svg", task="sr-c")
    with pytest.raises(InputError, match="no model of the run was pre-trained"):
        write_curves(inputs.scores, {}, tmp_path / "c.svg")
    assert not (tmp_path / "c.svg").exists()


def test_curves_of_seeds_are_one_with_a_band(inputs: ReportInputs) -> None:
    first = next(iter(inputs.models().values()))
    seeds = [dataclasses.replace(first, name=f"{first.name}-seed{seed}", seed=seed) for seed in (1, 2)]
    losses = pl.DataFrame({"seed_group": [first.name] * 4, "step": [0, 9, 0, 9], "loss": [8.0, 6.0, 7.0, 6.5]})
    table = over_seeds(losses)
    assert table.rows() == [(first.name, 0, 7.5, 7.0, 8.0), (first.name, 9, 6.25, 6.0, 6.5)]
    spec = curves({"loss": table}, {model.name: model for model in [first, *seeds]})
    assert [row["mean"] for row in spec["datasets"]["data"]] == [7.5, 6.25]
    assert [(row["low"], row["high"]) for row in spec["datasets"]["data"]] == [(7.0, 8.0), (6.0, 6.5)]
    scores = pl.DataFrame({"seed_group": [first.name] * 3, "step": [0, 4, 9], "mean": 5.0, "low": 4.0, "high": 6.0})
    both = curves({"loss": table, "score": scores}, {first.name: first})
    assert [layer["encoding"]["x"]["axis"]["values"] for panel in both["hconcat"] for layer in panel["layer"]] == [[0, 9]] * 4
    scales = [layer["encoding"]["color"].get("scale", {}) for layer in spec["hconcat"][0]["layer"]]
    assert [first.name] in [scale.get("domain") for scale in scales]


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
    centers = 5 * generator.normal(size=(4, 12))
    rows = np.repeat(centers, 30, axis=0) + generator.normal(size=(120, 12))
    found = make_map(rows)
    distance = ((found.places[:, None] - found.places) ** 2).sum(-1) + np.diag(np.full(120, np.inf))
    assert np.mean(np.arange(120) // 30 == distance.argmin(1) // 30) > 0.98
    assert np.ptp(found.places, axis=0).max() == pytest.approx(2)
    np.testing.assert_array_equal(found.places, make_map(rows).places)
    np.testing.assert_array_equal(tsne(rows), tsne(rows))
    # a target row at a center is placed inside that center's group
    for group, place in enumerate(found.place(centers)):
        members = found.places[30 * group : 30 * group + 30]
        assert np.all((members.min(0) <= place) & (place <= members.max(0)))


def test_principal_plane_is_that_of_the_covariance() -> None:
    rows = np.random.default_rng(2).normal(size=(200, 5)) * [5, 3, 1, 1, 1]
    plane = principal_plane(rows)
    values = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    np.testing.assert_allclose(np.cov(plane.T), np.diag(values[:2]), atol=1e-9)
    shifted = principal_plane(rows + 7)
    np.testing.assert_allclose(plane, shifted, atol=1e-9)


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
