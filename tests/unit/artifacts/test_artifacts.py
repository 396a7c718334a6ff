"""Artifacts: the same inputs give the same bytes, and any damage is detected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from process_cases import python

from lexigraft.artifacts import (
    Provenance,
    atomic_file,
    check,
    identity,
    map_arrow,
    read_metadata,
    read_provenance,
    read_table,
    read_tensors,
    write_arrow,
    write_table,
    write_tensors,
)
from lexigraft.errors import ArtifactError

PROVENANCE = Provenance("factors", {"dim": 100, "name": "ü"}, seed=3, code="c", lock="l", inputs={"weights": "abc"})
TABLE = pl.DataFrame({"language": ["eng_Latn", "kor_Hang"], "n": [1, 2], "tokens": [[1, 2], []]})
BATCH = pa.record_batch({"n": pa.array([1, 2, 3], pa.int32()), "text": pa.array(["a", "ü", ""])})
METADATA = {"width": 3, "settings": {"kind": "ü", "rate": 0.1}, "seal": "lexigraft.sha256"}
TENSORS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.zeros((0, 3), np.int64), "c": np.array(True)}


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        write_table(path, TABLE, PROVENANCE)
    elif path.suffix == ".arrow":
        write_arrow(path, BATCH.schema, iter([BATCH, BATCH]), PROVENANCE, METADATA)
    else:
        write_tensors(path, TENSORS, PROVENANCE, METADATA)
    return path


def read(path: Path) -> object:
    if path.suffix == ".arrow":
        check(path, "factors")
        return map_arrow(path)
    return read_table(path, "factors") if path.suffix == ".parquet" else read_tensors(path, "factors")


def test_a_table_and_one_written_in_blocks_survive_a_round_trip(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    assert read_table(path, "factors").equals(TABLE)
    assert read_table(path, ("other", "factors"), ["n"])["n"].to_list() == [1, 2]
    assert pl.read_parquet(path).equals(TABLE)
    write_table(path, (TABLE for _ in range(3)), PROVENANCE)
    assert read_table(path, "factors").equals(pl.concat([TABLE] * 3))


def test_tensors_survive_a_round_trip_and_safetensors_reads_them(tmp_path: Path) -> None:
    path = write(tmp_path / "t.safetensors")
    ours, theirs = read_tensors(path, "factors"), safetensors.numpy.load_file(path)
    assert ours.keys() == theirs.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(ours[name], value)
        np.testing.assert_array_equal(theirs[name], value)
        assert ours[name].dtype == value.dtype
    assert read_tensors(path, "factors", ["b"]).keys() == {"b"}


def test_an_arrow_file_is_memory_mapped_and_polars_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.arrow")
    assert map_arrow(path) == [BATCH, BATCH]
    assert pl.read_ipc(path).equals(pl.from_arrow(pa.Table.from_batches([BATCH, BATCH])))
    allocated = pa.total_allocated_bytes()
    held = map_arrow(path)
    assert pa.total_allocated_bytes() == allocated  # the columns lie in the mapped file
    assert len(held) == 2
    with pytest.raises(ArtifactError, match="does not exist"):
        map_arrow(tmp_path / "none.arrow")


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors", ".arrow"])
def test_provenance_is_stored_without_paths(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}")
    provenance = read_provenance(path)
    assert provenance["stage"] == "factors"
    assert provenance["parameters"] == {"dim": 100, "name": "ü"}
    assert provenance["inputs"] == {"weights": "abc"}
    assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".arrow"])
def test_metadata_comes_back_and_its_absence_is_an_error(tmp_path: Path, suffix: str) -> None:
    assert read_metadata(write(tmp_path / f"t{suffix}")) == METADATA
    write_tensors(tmp_path / "none.safetensors", TENSORS, PROVENANCE)
    with pytest.raises(ArtifactError, match=r"cannot be read .*lexigraft\.metadata"):
        read_metadata(tmp_path / "none.safetensors")


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors", ".arrow"])
def test_another_process_writes_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    code = "import sys; from pathlib import Path; from test_artifacts import write; write(Path(sys.argv[1]))"
    other = tmp_path / f"b{suffix}"
    assert python(code, other, PYTHONHASHSEED="7").returncode == 0
    assert path.read_bytes() == other.read_bytes()
    assert identity(path) == identity(other)


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors", ".arrow"])
def test_any_flipped_bit_is_detected(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"a{suffix}").read_bytes()
    bad = tmp_path / f"bad{suffix}"
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        bad.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="artifact"):
            read(bad)


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors", ".arrow"])
@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_detected(tmp_path_factory: pytest.TempPathFactory, suffix: str, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = write(folder / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ArtifactError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "run snakemake again" in str(caught.value)


@given(junk=st.binary(max_size=200))
def test_random_bytes_raise_an_error(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "x.parquet"
    for head in (b"", b"PAR1", (1 << 60).to_bytes(8, "little")):
        path.write_bytes(head + junk)
        with pytest.raises(ArtifactError):
            check(path, "factors")


def test_wrong_stages_missing_files_and_foreign_files_are_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    with pytest.raises(ArtifactError, match="made by stage 'factors', expected 'matches'"):
        read_table(path, "matches")
    with pytest.raises(ArtifactError, match="does not exist"):
        read_table(tmp_path / "none.parquet", "factors")
    TABLE.write_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(ArtifactError, match="not written by lexigraft"):
        read_table(tmp_path / "foreign.parquet", "factors")
    with pytest.raises(ArtifactError, match="no tensor"):
        read_tensors(write(tmp_path / "a.safetensors"), "factors", ["zzz"])


def test_a_failed_write_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    before = path.read_bytes()

    def blocks():
        yield TABLE
        raise RuntimeError("stopped halfway")

    with pytest.raises(RuntimeError, match="stopped"):
        write_table(path, blocks(), PROVENANCE)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_atomic_files_have_default_permissions(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x") as handle:
        handle.write(b"x")
    plain = tmp_path / "y"
    plain.write_bytes(b"y")
    assert (tmp_path / "x").stat().st_mode == plain.stat().st_mode


def test_the_identity_of_an_unsealed_file_follows_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("one")
    (tmp_path / "c.txt").write_text("two")
    assert identity(tmp_path / "a.txt") == identity(tmp_path / "b.txt") != identity(tmp_path / "c.txt")
