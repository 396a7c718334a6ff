"""A complete run of the paper's graph in miniature: two real sources, two D', three methods, both kinds of network."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lexigraft.artifacts import read_metadata, read_table
from tests.checkout import Checkout

MODELS = [
    f"{method}-{source}-{dim}" for method in ("random", "ofa", "hyperofa") for source in ("mono", "multi") for dim in (16, 32)
]
TRAINED = ("hyperofa-mono-16", "hyperofa-multi-32")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = Checkout(tmp_path_factory.mktemp("paper"))
    done = checkout.snakemake("--cores", "2", "all", config="config/paper-small.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    again = checkout.snakemake("--cores", "2", "all", config="config/paper-small.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr
    return checkout.folder


def test_every_model_is_scored_and_trained_models_twice(paper: Path) -> None:
    scores = read_table(paper / "results/paper-small/scores.parquet", "scores")
    assert set(scores["model"]) == set(MODELS)
    assert set(scores.filter(step=2)["model"]) == set(TRAINED)
    assert set(scores["dim"]) == {"16", "32"}
    assert set(scores.filter(step=0)["language"]) == {"fra_Latn", "kor_Hang"}
    assert set(scores.filter(step=2)["language"]) == {"fra_Latn"}  # `pretrained_languages`


def test_origins_add_up_to_the_vocabulary(paper: Path) -> None:
    table = read_table(paper / "results/paper-small/token_origins.parquet", "token_origins")
    assert set(table["model"]) == set(MODELS)
    assert (table.select(pl.sum_horizontal("copied", "computed", "mean", "random")).to_series() == 4000).all()
    assert (table["total"] == 4000).all()
    computed = dict(table.select("model", "computed").iter_rows())
    assert computed["random-mono-16"] == 0
    assert computed["ofa-mono-16"] == computed["ofa-mono-32"] == computed["hyperofa-mono-16"] > 0
    copied = dict(table.select("model", "copied").iter_rows())
    # more target tokens are in XLM-R's vocabulary than in the English one
    assert copied["ofa-multi-16"] > copied["ofa-mono-16"]


def test_each_source_and_dimension_has_its_own_network(paper: Path) -> None:
    kinds = {}
    for file in paper.glob("resources/hypernetworks/*/*/*/*/network.safetensors"):
        kinds[file.relative_to(paper / "resources/hypernetworks").parts[0]] = read_metadata(file)["settings"]
    assert {name: settings["kind"] for name, settings in kinds.items()} == {
        "mono-16": "bilstm",
        "mono-32": "bilstm",
        "multi-16": "setformer",
        "multi-32": "setformer",
    }
    for name in kinds:
        quality = read_table(next(paper.glob(f"resources/hypernetworks/{name}/*/*/*/quality.parquet")), "hypernetwork")
        assert set(quality["method"]) == {name, "ofa"}
        assert quality["cosine"].is_between(-1, 1).all()


def test_the_report_lists_models_networks_and_origins(paper: Path) -> None:
    page = (paper / "results/paper-small/report.html").read_text()
    for text in (*MODELS, "multi-16", "copied", "computed"):
        assert text in page
