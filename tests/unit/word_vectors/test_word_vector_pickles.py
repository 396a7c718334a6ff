"""Hostile and damaged pickles: nothing runs, nothing is imported, no stated size takes memory, bad files are clear errors."""

from __future__ import annotations

import builtins
import os
import pickle
import re
import resource
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pickle_cases import gensim_pickle

from lexigraft.errors import InputError
from lexigraft.word_vectors.keyed_vectors import GensimVectors
from lexigraft.word_vectors.pickled import Ignored, Inert, read_pickle

# pickles are made of these, so nothing is compared that Python would not compare
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=20,
)


class Calls:
    """An object whose pickle calls something when it is loaded."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.what = called, arguments

    def __reduce__(self) -> Any:
        return self.what


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        GensimVectors(path)
    return str(caught.value)


# ----------------------------------------------------------------------------------------------------------- nothing is run


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("called", [os.system, os.mkdir, eval, exec, builtins.__import__, pickle.loads, getattr])
@pytest.mark.parametrize("inside", [True, False])
def test_nothing_that_a_pickle_names_is_run(tmp_path: Path, protocol: int, called: Any, inside: bool) -> None:
    mark = tmp_path / "it ran"
    argument = {
        os.system: f"mkdir '{mark}'",
        os.mkdir: str(mark),
        eval: f"__import__('os').mkdir({str(mark)!r})",
        exec: f"import os; os.mkdir({str(mark)!r})",
        builtins.__import__: "antigravity",
        pickle.loads: pickle.dumps(Calls(os.mkdir, str(mark))),
        getattr: "x",
    }[called]
    bad = Calls(called, *([argument] if called is not getattr else [argument, "upper"]))
    data = gensim_pickle({"index_to_key": ["a"], "vectors": bad}, protocol) if inside else pickle.dumps(bad, protocol)
    # the same bytes do run when they are loaded, so the test can fail
    if called is os.mkdir and not inside:
        pickle.loads(data)  # noqa: S301
        mark.rmdir()
    message = error_of(write(tmp_path / "a.wv", data))
    assert not mark.exists()
    assert re.search(rf"names \w+\.{called.__name__},", message)
    assert "which no file of word vectors needs" in message
    assert "nothing of it was run" in message
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_that_a_pickle_names_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    (tmp_path / "booby_trap.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')\nclass KeyedVectors: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    short = b"\x8c\nbooby_trap\x8c\x0cKeyedVectors\x93"
    data = b"\x80" + bytes([protocol]) + (b"cbooby_trap\nKeyedVectors\n" if protocol == 2 else short) + b")\x81."
    assert "booby_trap.KeyedVectors" in error_of(write(tmp_path / "a.wv", data))
    assert not (tmp_path / "it ran").exists()
    assert "booby_trap" not in sys.modules


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\x80\x02cnumpy\nload\nU\x01x\x85R.", "numpy.load"),
        (b"\x80\x02cnumpy.core.multiarray\nfromfile\nU\x01x\x85R.", "numpy.core.multiarray.fromfile"),
        (b"\x80\x02c_codecs\nlookup\nU\x01x\x85R.", "_codecs.lookup"),
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "numpy.ndarray.__init__"),
        (b"\x80\x02cgensim.utils\ncall_on_class_only\n)R.", "gensim.utils.call_on_class_only"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, data: bytes, named: str) -> None:
    assert named in error_of(write(tmp_path / "a.wv", data))


@pytest.mark.parametrize(
    "data",
    [
        # a stranger's arguments and states for classes that may be named
        b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00xNsb.",
        b"\x80\x02cgensim.models.keyedvectors\nKeyedVectors\nN}X\x06\x00\x00\x00blocksNs\x86b.",
        b"\x80\x02U\x06system)R.",
        b"\x80\x02]}X\x01\x00\x00\x00aNsb.",
        # opcodes for what gensim never writes
        b"\x80\x02Pid\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02(ios\nsystem\n.",
        b"\x80\x02(cos\nsystem\nU\x01xo.",
        b"\x80\x02\xff.",
        b"\x80\x05\x97.",
        b"\x80\x06.",
        # sizes that cannot be
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"x.",
        b"\x80\x04X" + struct.pack("<I", 1 << 27) + b"x.",
        b"\x80\x02B" + struct.pack("<I", 1 << 31) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<I", 1 << 31) + b"x.",
        b"\x80\x02j" + struct.pack("<I", 1 << 31) + b".",
        b"\x80\x02\x87.",
        b"\x80\x02e.",
        b"\x80\x02]",
        b"\x80\x02.",
        # what has no hash that is safe to take, and what is no text
        b"\x80\x02}]Nsb.",
        b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"Ns.",
        b"\x80\x02(" + b")" + b"\x85" * 1_000_000 + b"Nd.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02]X\x01\x00\x00\x00a]s.",
        # a set of deeply nested tuples, a number of the memo, an encoding that is none of numpy's: read, but no vectors
        b"\x80\x04\x8f()" + b"\x85" * 1_000_000 + b"\x90.",
        b"\x80\x04()" + b"\x85" * 1_000_000 + b"\x91.",
        b"\x80\x02Nr" + struct.pack("<I", (1 << 32) - 1) + b".",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00base64\x86R.",
    ],
)
def test_hostile_and_damaged_pickles_are_refused(tmp_path: Path, data: bytes) -> None:
    message = error_of(write(tmp_path / "a.wv", data))
    assert re.search(r"the pickle cannot be read|the pickle names os\.system|the file holds no KeyedVectors", message)
    assert "a.wv" in message


def test_arrays_that_state_other_sizes_than_they_have(tmp_path: Path) -> None:
    vectors = np.arange(40_000, dtype=np.float32).reshape(4, 10_000)
    good = gensim_pickle({"index_to_key": list("abcd"), "vectors": vectors}, 3)
    np.testing.assert_array_equal(next(iter(GensimVectors(write(tmp_path / "a.wv", good)).blocks()))[1], vectors)
    shape = b"K\x04M\x10'\x86"
    assert good.count(shape) == 1
    for wrong in ((5, 10_000), (2**100, 10_000), (4, 2**31), (0, 2**100), (4,), (), (-4, -10_000)):
        data = good.replace(shape, pickle.dumps(wrong, 2)[2:-1].removesuffix(b"q\x00"))
        assert data != good
        message = error_of(write(tmp_path / "a.wv", data))
        assert "the vectors cannot be read" in message


def test_a_stated_size_takes_no_memory(tmp_path: Path) -> None:
    """Address space is limited to a little more than there is now; a gigabyte asked for would be refused."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc to ask for the address space used")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), before[1]))
    try:
        for code, width in (
            (b"B", 4),
            (b"\x8e", 8),
            (b"\x96", 8),
            (b"X", 4),
            (b"\x8d", 8),
            (b"T", 4),
            (b"\x8b", 4),
            (b"\x95", 8),
        ):
            data = b"\x80\x05" + code + (3 << 30).to_bytes(width, "little") + b"x" * 100
            message = error_of(write(tmp_path / "a.wv", data))
            assert "the pickle cannot be read" in message
            assert "MemoryError" not in message
        numbered = write(tmp_path / "a.wv", b"\x80\x02Nr" + b"\xff" * 4 + b".")
        assert "holds no KeyedVectors" in error_of(numbered)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_one_text_that_is_encoded_many_times_takes_memory_once(tmp_path: Path) -> None:
    """A megabyte of text and a hundred thousand calls that would each make bytes of it."""
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"q\x01"
    call = b"h\x02h\x01X\x06\x00\x00\x00latin1\x86R"
    data = b"\x80\x02c_codecs\nencode\nq\x02(" + text + call * 100_000 + b"l."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "holds no KeyedVectors" in error_of(write(tmp_path / "a.wv", data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.mark.parametrize("opening", [b"]", b"}X\x00\x00\x00\x00", b"("])
def test_deep_nesting_does_not_crash(tmp_path: Path, opening: bytes) -> None:
    closing = {b"]": b"a", b"(": b"t"}.get(opening[:1], b"s")
    data = b"\x80\x02" + opening * 100_000 + b"N" + closing * 100_000 + b"."
    assert "holds no KeyedVectors" in error_of(write(tmp_path / "a.wv", data))


# ------------------------------------------------------------------------------------------------------------ what is read


@settings(deadline=None)
@given(value=values, protocol=st.integers(2, 5))
def test_plain_data_round_trip(tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int) -> None:
    class Text(Inert):
        """Bytes in protocol 2."""

        def __new__(cls, text: str, _: str) -> Any:
            return text.encode("latin-1")

    class Empty(Inert):
        def __new__(cls) -> Any:
            return b""

    path = write(tmp_path_factory.mktemp("pickles") / "a", pickle.dumps(value, protocol))
    found = read_pickle(path, {("_codecs", "encode"): Text, ("__builtin__", "bytes"): Empty})
    assert found == value
    assert type(found) is type(value)


def test_shared_references_sets_and_mapped_bytes(tmp_path: Path) -> None:
    word, data = "x" * 1000, bytes(range(256)) * 2000
    value = [word, word, [word], {"a": word}, data, bytearray(data), {"b", "a"}, frozenset("a")]
    for protocol in (4, 5):
        path = write(tmp_path / "a", pickle.dumps(value, protocol))
        found = read_pickle(path, {("builtins", "bytearray"): Ignored})
        assert found[:4] == value[:4]
        assert isinstance(found[4], memoryview)
        assert found[4] == data
        assert protocol == 4 or found[5] == data
        assert [sorted(found[6]), list(found[7])] == [["a", "b"], ["a"]]


@settings(deadline=None, max_examples=300)
@given(position=st.floats(0, 1), change=st.binary(max_size=4), drop=st.integers(0, 4), protocol=st.integers(2, 5))
def test_random_damage_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: float, change: bytes, drop: int, protocol: int
) -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    data = gensim_pickle({"index_to_key": ["a", "b", "çay", "d"], "vectors": vectors, "norms": None}, protocol)
    cut = int(position * len(data))
    path = write(tmp_path_factory.mktemp("damage") / "a.wv", data[:cut] + change + data[cut + drop :])
    outcome = blocks_or_error(path)
    if isinstance(outcome, InputError):
        assert "a.wv" in str(outcome)
    else:
        assert all(len(table) == len(block) for table, block in outcome)


def blocks_or_error(path: Path) -> Any:
    try:
        return list(GensimVectors(path).blocks())
    except InputError as error:
        return error
