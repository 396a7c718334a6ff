"""The method and the evidence kind of CONTRIBUTING.md in a real run: a file and a line of configuration each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from lexigraft.artifacts import read_table
from lexigraft.token_maps.token_map import read_token_map
from lexigraft.tokenizers.load import load_tokenizer
from lexigraft.tokenizers.vocabulary import read_vocabulary
from tests.checkout import Checkout
from tests.examples import example_files, example_lines


@pytest.fixture
def extended(scratch: Checkout) -> Checkout:
    """The finished run with the files of the examples, and a configuration that uses them beside what was there."""
    files = {path: text for path, text in example_files().items() if Path(path).parts[1] in ("initializers", "evidence")}
    assert len(files) == 3
    for path, text in files.items():
        (scratch.folder / path).write_text(text, encoding="utf-8")
    config = yaml.safe_load((scratch.folder / "mini.yaml").read_text())
    for lines in filter(lambda text: text.startswith("methods:"), example_lines()):
        for section, values in yaml.safe_load(lines).items():
            config[section] = {**(config.get(section) or {}), **values}
    config["models"].append({"methods": ["pieces"], "sources": ["minilm"], "dims": [32, "full"], "tokenizer": "bible-4k"})
    config["models"].append({**config["models"][0], "methods": ["words"], "dims": [32]})
    config["pretraining"]["models"] = [f"{method}-minilm-32" for method in ("random", "ofa", "hyperofa", "graft")]
    (scratch.folder / "mini.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return scratch


def test_a_method_and_an_evidence_kind_are_one_file_each(extended: Checkout) -> None:
    planned = extended.planned("all")
    # three models more, two of one map; no other model changes
    new = {"evidence": 1, "token_map": 2, "factors": 0, "initialized_model": 3, "ranks": 3}
    assert {rule: planned.get(rule, 0) for rule in new} == new
    assert not {"corpus", "source", "tokenizer", "word_vectors", "source_matches", "hypernetwork", "pretraining"} & set(planned)
    extended.run("all")
    resources = extended.folder / "resources"
    source = read_vocabulary(resources / "sources/minilm/vocabulary.parquet")
    target = read_vocabulary(resources / "tokenizers/bible-4k/vocabulary.parquet")
    path = resources / "token_maps/pieces/none/minilm/bible-4k/shared/token_map.parquet"
    found = read_token_map(path, len(target), len(source))
    tokenizer = load_tokenizer(resources / "sources/minilm")
    token = next(place for place, text in enumerate(target.surfaces) if found.origin[place] == 1 and len(text) > 6)
    ids = tokenizer.encode(target.surfaces[token], add_special_tokens=False)
    row = found.weights[token].toarray()[0]
    np.testing.assert_allclose(row[ids], [ids.count(one) / len(ids) for one in ids], rtol=1e-6)
    np.testing.assert_allclose(row.sum(), 1, rtol=1e-6)
    scores = read_table(extended.folder / "results/mini/scores.parquet", "scores")
    assert {"pieces-minilm-32", "pieces-minilm-full", "words-minilm-32"} <= set(scores["model"])
    counts = read_table(extended.folder / "results/mini/token_origins.parquet", "token_origins")
    made = counts.filter(pl.col("model").str.starts_with("pieces"))
    assert made.drop("model", "dim").unique().height == 1
    assert extended.planned("all") == {}
