"""The order of sequences by its definition: shares, permutations, positions, and what is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_cases import LENGTH, sentences, write_sequences, write_tokenizer

from lexigraft.artifacts import Provenance, write_arrow
from lexigraft.errors import ArtifactError
from lexigraft.pretraining.packing import SEQUENCES_A_BATCH, schema_of, tokenizer_digest
from lexigraft.pretraining.shards import check_shards, held_out_rows, open_shards
from lexigraft.pretraining.stream import Stream, shares

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    sizes = tuple(draw(SIZES))
    drawn = shares(sizes, draw(st.sampled_from([1.0, 0.7, 0.3, 0.01])))
    return Stream(sizes, drawn, draw(st.integers(0, 2**31)), draw(st.integers(1, 70)), draw(st.integers(1, 20)))


@settings(deadline=None)
@given(SIZES, st.integers(0, 2**31), st.integers(1, 70), st.integers(1, 20))
def test_an_epoch_holds_every_sequence_once(sizes: list[int], seed: int, buffer: int, block: int) -> None:
    stream = Stream(tuple(sizes), shares(sizes, 1.0), seed, buffer, block)
    wanted = sorted((language, rank) for language, size in enumerate(sizes) for rank in range(size))
    for epoch in range(3):
        languages, ranks = stream.at(epoch * stream.epoch, stream.epoch)
        assert sorted(zip(languages.tolist(), ranks.tolist(), strict=True)) == wanted


@settings(deadline=None)
@given(streams(), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_parts_of_the_stream_are_those_of_the_whole(stream: Stream, cuts: list[int]) -> None:
    starts = np.cumsum([0, *cuts[:-1]])
    parts = [stream.at(int(start), count) for start, count in zip(starts, cuts, strict=True)]
    for joined, at_once in zip(zip(*parts, strict=True), stream.at(0, sum(cuts)), strict=True):
        assert (np.concatenate(joined) == at_once).all()


@settings(deadline=None)
@given(streams(), st.integers(0, 400))
def test_counts_are_exact_at_every_position(stream: Stream, position: int) -> None:
    languages, _ = stream.at(0, position)
    assert stream.counts(position).tolist() == np.bincount(languages, minlength=len(stream.sizes)).tolist()


@settings(deadline=None)
@given(streams())
def test_a_repeated_language_is_repeated_as_a_whole(stream: Stream) -> None:
    languages, ranks = stream.at(0, 3 * stream.epoch)
    for language, size in enumerate(stream.sizes):
        times = np.bincount(ranks[languages == language], minlength=size)
        assert len(times) == size
        assert times.max() - times.min() <= 1


def test_every_buffer_has_every_language_in_its_share() -> None:
    stream = Stream((600, 300, 100), (600, 300, 100), 3, buffer=100, block=8)
    for number in range(10):
        languages, _ = stream.at(100 * number, 100)
        assert np.bincount(languages).tolist() == [60, 30, 10]


def test_the_order_is_shuffled_over_shard_and_buffer_and_by_seed() -> None:
    stream = Stream((4096,), (4096,), 1, buffer=512, block=32)
    ranks = stream.at(0, 512)[1]
    blocks = np.unique(ranks // 32)
    assert len(blocks) == 16
    assert (np.diff(blocks) > 1).any()  # not the first ones: blocks come from the whole shard
    assert (np.diff(ranks) != 1).mean() > 0.9  # nor in their order
    assert (stream.at(4096, 512)[1] != ranks).any()
    assert (Stream((4096,), (4096,), 2, 512, 32).at(0, 512)[1] != ranks).any()


def test_shares_follow_the_exponent() -> None:
    sizes = [1000, 100, 10]
    assert shares(sizes, 1.0) == tuple(sizes)
    wanted = 1110 * np.array(sizes) ** 0.3 / np.sum(np.array(sizes) ** 0.3)
    assert shares(sizes, 0.3) == tuple(np.rint(wanted).astype(int))
    assert min(shares([10**6, 1], 0.9)) >= 1


@given(st.integers(0, 3000), st.integers(0, 40))
def test_held_out_rows_are_few_and_spread(rows: int, wanted: int) -> None:
    held_out = held_out_rows(rows, wanted)
    assert len(held_out) == min(wanted, rows // 20)
    assert len(set(held_out)) == len(held_out)
    if len(held_out):
        assert 0 <= held_out[0] <= held_out[-1] < rows
        assert np.diff(held_out).max(initial=0) <= rows // len(held_out) + 1


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", [19, 40, SEQUENCES_A_BATCH, SEQUENCES_A_BATCH + 30])
def test_training_rows_are_all_but_the_held_out(tokenizer: Path, number: int) -> None:
    tokens = sentences(number)
    path = tokenizer / "swh_Latn.arrow"
    write_sequences(path, tokens, tokenizer, "swh_Latn")
    (shard,) = open_shards([path], 7)
    assert shard.language == "swh_Latn"
    rows = shard.row_of(np.arange(shard.training_rows))
    assert sorted([*rows, *shard.held_out]) == list(range(number))
    assert (np.diff(rows) > 0).all()
    assert all((shard[row] == tokens[row]).all() for row in range(number))
    assert not any(part.flags.owndata or part.flags.writeable for part in shard.tokens)  # mapped, not read


def test_altered_and_empty_shards_are_refused(tokenizer: Path) -> None:
    path, asked = tokenizer / "swh_Latn.arrow", (LENGTH, 300, tokenizer_digest(tokenizer), 1)
    write_sequences(path, sentences(40), tokenizer, "swh_Latn")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="altered"):
        check_shards([path], *asked)
    metadata = {"language": "swh_Latn", "length": LENGTH, "tokenizer_sha256": asked[2]}
    write_arrow(path, schema_of(LENGTH), [], Provenance("pretraining_data"), metadata)
    with pytest.raises(ArtifactError, match="holds no sequence"):
        check_shards([path], *asked)
