"""`lexigraft explain`: what the rows of tokens are made of, and what is near to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from modeling_cases import factors, plain_model, vocabulary, write_source, write_tokenizer, write_vocabulary
from scipy.sparse import csr_matrix

from lexigraft.artifacts import Provenance, identity
from lexigraft.cli import main
from lexigraft.factors.tables import EmbeddingTable
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.token_maps.explaining import made_of
from lexigraft.token_maps.nearest import nearest_tokens
from lexigraft.token_maps.token_map import COMPUTED, COPIED, MEAN, TokenMap


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose token 9 is three quarters of source token 7 and a quarter of 8, token 10 the mean, all others copied."""
    plain, names = plain_model("bert"), vocabulary("bert")
    source = write_source(tmp_path / "resources" / "sources" / "small", plain)
    write_vocabulary(source / "vocabulary.parquet", names, "source")
    coordinates, primitives = factors(plain.get_input_embeddings().weight.detach().numpy(), 7)
    weights = np.eye(60, dtype=np.float32)
    weights[9], weights[10] = 0, 0
    weights[9, [7, 8]] = 0.75, 0.25
    origin = np.full(60, COPIED, np.int8)
    origin[[9, 10]] = COMPUTED, MEAN
    found = TokenMap(csr_matrix(weights), origin)
    rows = found.apply(coordinates)
    rows[10] = coordinates.mean(axis=0)
    made = assemble(source, rows, primitives, found, names)
    inputs = {"weights": identity(source / "model.safetensors")}
    folder = tmp_path / "results" / "run" / "models" / "m" / "step-0"
    tokenizer, provenance = write_tokenizer(tmp_path / "tokenizer", names), Provenance("initialized_model", inputs=inputs)
    write_model_folder(made, tokenizer, folder, token_table(names, names, found, np.array([9])), "# card\n", provenance)
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_sources_weights_and_nearest_tokens_of_a_text_are_shown(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    computed, near, mean, _, copied, nearest = said(capsys, str(model), "w9", "w10", "w12")
    assert computed == "w9 (id 9), computed from w7 .75, w8 .25, and a predicted row"
    assert near.startswith("  nearest source tokens: w7 .")
    assert mean == "w10 (id 10), the mean of all source rows"
    assert copied == "w12 (id 12), copied from w12 1.00"
    # of rank 7 only, so not exactly itself
    assert "w12 ." in nearest
    cut = said(capsys, str(model), "w12 w9 w9")
    assert [line.split(",")[0] for line in cut[::2]] == ["w12 (id 12)", "w9 (id 9)", "w9 (id 9)"]


def test_a_source_that_is_not_found_can_be_named(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "resources" / "sources" / "small"
    source.rename(tmp_path / "elsewhere")
    assert "with --source" in said(capsys, str(model), "w9")[-1]
    assert said(capsys, str(model), "w9", "--source", str(tmp_path / "elsewhere"))[1].startswith("  nearest source tokens: w7")


@pytest.mark.parametrize(("argument", "message"), [("", "the tokenizer leaves nothing of ''"), ("w1", "no model of lexigraft")])
def test_bad_input_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    folder = model if argument == "" else tmp_path
    assert main(["explain", str(folder), argument]) == 1
    assert message in capsys.readouterr().err


def test_made_of_names_the_heaviest_and_counts_the_rest() -> None:
    parts = made_of("computed", [f" s{index}" for index in range(8)], [0.1, -0.4, 0.3, 0.05, 0.2, 0.1, 0.1, 0.55], False)
    assert parts == "s7 .55, s1 -.40, s2 .30, s4 .20, s0 .10, and 3 more"
    assert made_of("random", [], [], False) == "drawn at random"
    assert made_of("computed", [], [], True) == "predicted by the method"


def test_nearest_tokens_are_the_top_of_all_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    coordinates, primitives = rng.standard_normal((90, 5)).astype(np.float32), rng.standard_normal((5, 12)).astype(np.float32)
    rows, candidates = rng.standard_normal((4, 12)), np.arange(3, 90)
    embeddings = coordinates.astype(np.float64) @ primitives
    mean = embeddings.mean(axis=0)
    theirs, ours = embeddings[candidates] - mean, rows - mean
    cosine = ours @ theirs.T / np.linalg.norm(ours, axis=1)[:, None] / np.linalg.norm(theirs, axis=1)
    expected = candidates[np.argsort(-cosine, axis=1)[:, :3]]
    for block in (8192, 10):
        monkeypatch.setattr("lexigraft.token_maps.nearest._BLOCK_ROWS", block)
        table = EmbeddingTable(coordinates, np.ones(5, np.float32), primitives)
        ids, cosines = nearest_tokens(rows, table, candidates, mean)
        np.testing.assert_array_equal(ids, expected)
        np.testing.assert_allclose(cosines, -np.sort(-cosine, axis=1)[:, :3], atol=1e-6)
