"""Pickles are followed, not loaded: nothing runs, nothing is imported, no size is believed, bad files are clear errors."""

from __future__ import annotations

import builtins
import os
import pickle
import pickletools
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
from lexigraft.word_vectors.pickled import Name, Span, Vocabulary, read_pickle

PLAIN = Vocabulary({}, frozenset(), lambda name: (f"it names {name}", "none may be named"))
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
    assert "byte " in message
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
def test_names_beside_the_known_ones(tmp_path: Path, data: bytes, named: str) -> None:
    assert named in error_of(write(tmp_path / "a.wv", data))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        # values that may be named but not called
        (b"\x80\x02cnumpy\nndarray\n)R.", "it calls a numpy.ndarray"),
        (b"\x80\x02U\x06system)R.", "it calls a bytes"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00base64\x86R.", "encodes in another way"),
        (b"\x80\x02]}b.", "gives a state to what has none"),
        # opcodes for what gensim never writes
        (b"\x80\x02Pid\n.", "opcode PERSID"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x02(ios\nsystem\n.", "opcode INST"),
        (b"\x80\x02\xff.", "no pickle has the opcode"),
        (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
        # what is no pickle of these protocols
        (b"\x80\x01.", "protocol 1"),
        (b"\x80\x06.", "protocol 6"),
        # sizes that cannot be
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.", "states 1152921504606846976 bytes"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.", "states a text of 1152921504606846976 bytes"),
        (b"\x80\x04X" + struct.pack("<I", 1 << 27) + b"x.", "states 134217728 bytes"),
        (b"\x80\x02B" + struct.pack("<I", 1 << 31) + b"x.", "states 2147483648 bytes"),
        (b"\x80\x02\x8b" + struct.pack("<I", 1 << 31) + b"x.", "states an integer of 2147483648 bytes"),
        (b"\x80\x02Nr" + struct.pack("<I", 1 << 31) + b".", "numbers 0 objects up to 2147483648"),
        (b"\x80\x02j" + struct.pack("<I", 1 << 31) + b".", "index"),
        (b"\x80\x02\x87.", "stack is too short"),
        (b"\x80\x02e.", "pop"),
        (b"\x80\x02]", "truncated"),
        (b"\x80\x02.", "pop"),
        (b"\x80\x02}]Nsb.", "a key of a dictionary is no text but a list"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "utf-8"),
        (b"\x80\x02]X\x01\x00\x00\x00a]s.", "no dictionary"),
    ],
)
def test_bad_pickles(tmp_path: Path, data: bytes, problem: str) -> None:
    message = error_of(write(tmp_path / "a.wv", data))
    assert problem in message
    assert "a.wv, byte " in message
    assert "nothing of it was run" in message


def test_arrays_that_state_other_sizes_than_they_have(tmp_path: Path) -> None:
    vectors = np.arange(40_000, dtype=np.float32).reshape(4, 10_000)
    good = gensim_pickle({"index_to_key": list("abcd"), "vectors": vectors}, 4)
    np.testing.assert_array_equal(next(iter(GensimVectors(write(tmp_path / "a.wv", good)).blocks()))[1], vectors)
    shape = b"K\x04M\x10'\x86"
    assert good.count(shape) == 1
    for wrong in ((5, 10_000), (2**100, 10_000), (4, 2**31), (0, 2**100), (4,), (), (-4, -10_000)):
        data = good.replace(shape, pickle.dumps(wrong, 2)[2:-1].removesuffix(b"q\x00"))
        assert data != good
        message = error_of(write(tmp_path / "a.wv", data))
        assert "the vectors cannot be read" in message or "no shape or type" in message


def test_a_lie_about_sizes_takes_no_memory(tmp_path: Path) -> None:
    """Address space is limited to a little more than there is now; a gigabyte asked for would be refused."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc to ask for the address space used")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), before[1]))
    try:
        for code, width in ((b"B", 4), (b"\x8e", 8), (b"\x96", 8), (b"X", 4), (b"\x8d", 8), (b"T", 4), (b"\x8b", 4)):
            data = b"\x80\x05" + code + (3 << 30).to_bytes(width, "little") + b"x" * 100
            assert "states" in error_of(write(tmp_path / "a.wv", data))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("opening", [b"]", b"}X\x00\x00\x00\x00", b"("])
def test_deep_nesting_is_no_trouble(tmp_path: Path, opening: bytes) -> None:
    closing = {b"]": b"a", b"(": b"t"}.get(opening[:1], b"s")
    data = b"\x80\x02" + opening * 100_000 + b"N" + closing * 100_000 + b"."
    assert "holds no KeyedVectors" in error_of(write(tmp_path / "a.wv", data))


# ---------------------------------------------------------------------------------------------------------- what is followed


@settings(deadline=None)
@given(value=values, protocol=st.integers(2, 5))
def test_plain_data_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int) -> None:
    # bytes in protocol 2
    calls = {Name("_codecs", "encode"): lambda text, _: text.encode("latin-1"), Name("__builtin__", "bytes"): bytes}
    path = write(tmp_path_factory.mktemp("pickles") / "a", pickle.dumps(value, protocol))
    found = read_pickle(path, Vocabulary(calls, frozenset(), PLAIN.refusal))
    assert found == value
    assert type(found) is type(value)


def test_shared_and_long_things(tmp_path: Path) -> None:
    word, data = "x" * 1000, bytes(range(256)) * 1000
    value = [word, word, [word], {"a": word}, data]
    for protocol in (4, 5):
        path = write(tmp_path / "a", pickle.dumps(value, protocol))
        found = read_pickle(path, PLAIN)
        assert found[:4] == value[:4]
        assert isinstance(found[4], Span)
        assert path.read_bytes()[found[4].start :][: found[4].length] == data


@settings(deadline=None, max_examples=300)
@given(position=st.floats(0, 1), change=st.binary(max_size=4), drop=st.integers(0, 4), protocol=st.integers(2, 5))
def test_damage_is_an_error_or_does_not_matter(
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


def test_all_opcodes_of_the_protocols_are_known_by_name() -> None:
    """New opcodes would be refused by number; this tells when Python has some."""
    assert max(opcode.proto for opcode in pickletools.opcodes) == 5
