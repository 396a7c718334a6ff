"""Words keep their language and their boundaries from a file of any format to the artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from word_vector_cases import EXPECTED, KEYS, binary_of, pairs, random_vectors, read, text_of


@pytest.mark.parametrize("kind", ["text", "text with header", "binary", "parquet", "parquet columns", "gensim", "gensim aside"])
def test_languages_and_boundaries_reach_the_artifact(tmp_path: Path, kind: str) -> None:
    vectors = random_vectors(len(KEYS))
    path = tmp_path / "vectors.of_any_name"
    if kind.startswith("text"):
        path.write_bytes(text_of(KEYS, vectors, header="header" in kind))
    elif kind == "binary":
        path.write_bytes(binary_of(KEYS, vectors))
    elif kind.startswith("gensim"):
        from gensim import models

        saved = models.KeyedVectors(vectors.shape[1])
        saved.add_vectors(KEYS, vectors)
        saved.save(str(path), sep_limit=0 if "aside" in kind else 10**9)
        assert len(list(tmp_path.iterdir())) == (2 if "aside" in kind else 1)
    else:
        columns = pl.DataFrame(vectors, schema=["x", "y", "z"])
        lists = pl.DataFrame({"vector": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32))})
        pl.DataFrame({"word": KEYS}).hstack(columns if "columns" in kind else lists).write_parquet(path)
    found = read(path)
    assert pairs(found) == EXPECTED
    np.testing.assert_array_equal(found.vectors, vectors)
    assert found.sentences.tolist() == [0] * len(KEYS)
    some = read(path, languages=["tur_Latn", "otq"], max_words=2)
    assert pairs(some) == [("tur", " su"), ("otq", " ndöhi ")]
    np.testing.assert_array_equal(some.vectors, vectors[1:3])
