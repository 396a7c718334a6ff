"""Vectors written block by block: the same tensor as one written at once, sealed, and nothing left after an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from lexigraft.artifacts import Provenance, check, read_tensors
from lexigraft.word_vectors import stream
from lexigraft.word_vectors.stream import vector_stream

PROVENANCE = Provenance("word_vectors", {"why": "test"}, seed=3)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 7), max_size=6), share=st.floats(0, 1), seed=st.integers(0, 9), rows=st.integers(1, 5))
def test_blocks_and_kept_rows(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], share: float, seed: int, rows: int
) -> None:
    path = tmp_path_factory.mktemp("stream") / "vectors.safetensors"
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal((size, 3)).astype(np.float32) for size in sizes]
    whole = np.concatenate([np.empty((0, 3), dtype=np.float32), *blocks])
    kept = np.flatnonzero(rng.random(len(whole)) < share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_BLOCK_ROWS", rows)
        with vector_stream(path, 3, PROVENANCE) as out:
            for block in blocks:
                out.append(block)
            assert out.rows == len(whole)
            if len(kept) < len(whole):
                out.keep(kept)
    np.testing.assert_array_equal(
        read_tensors(path, "word_vectors")["vectors"], whole[kept] if len(kept) < len(whole) else whole
    )
    # by the package of the format as well
    assert load_file(path)["vectors"].shape == ((len(kept) if len(kept) < len(whole) else len(whole)), 3)


def test_the_file_does_not_depend_on_the_blocks_and_is_sealed(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    for name, parts in (("a", [vectors]), ("b", [vectors[:3], vectors[3:]])):
        with vector_stream(tmp_path / name, 4, PROVENANCE) as out:
            for part in parts:
                out.append(part)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert check(tmp_path / "a", "word_vectors")["parameters"] == {"why": "test"}


def test_no_file_remains_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with vector_stream(tmp_path / "a", 4, PROVENANCE) as out:
            out.append(np.zeros((2, 4), dtype=np.float32))
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fail()
    assert list(tmp_path.iterdir()) == []
