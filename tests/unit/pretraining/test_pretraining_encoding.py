"""Token ids by repeated stretches against one `encode` call per sentence, and shards against joined sentences."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.implementations import BaseTokenizer

from lexigraft.artifacts import Provenance, check, map_arrow, read_metadata, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.pretraining import encoding, packing
from lexigraft.pretraining.encoding import Ids, LooksAcrossSpacesError, encode, splits_at_spaces
from lexigraft.pretraining.packing import tokenizer_digest, write_shard

LETTERS = "abcdéøжя말씀中文,.'-!1230"
SPECIALS = [("<s>", 0), ("</s>", 1)]
LENGTH = 16


def _frame(made: Tokenizer) -> Tokenizer:
    made.add_special_tokens(["<mask>"])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=SPECIALS
    )
    return made


def wordpiece() -> Tokenizer:
    pieces = ["<s>", "</s>", "[UNK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "ab", "##cd", "a", "e", "##e"]
    made = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _frame(made)


def unigram(split: bool = True, scheme: str = "always") -> Tokenizer:
    pieces = [("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁a", -4.0), ("ab", -4.5), ("a▁b", -1.0)]
    made = Tokenizer(models.Unigram([*pieces, *((letter, -6.0) for letter in LETTERS)], 2, False))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    return _frame(made)


def byte_level(prefix: bool) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: n for n, token in enumerate(["<s>", "</s>", *alphabet, "Ġa", "ab", "Ġb"])}
    made = Tokenizer(models.BPE(ids, [("Ġ", "a"), ("a", "b"), ("Ġ", "b")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    return _frame(made)


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "unigram": unigram,
    "unigram, first apart": lambda: unigram(scheme="first"),
    "byte level": lambda: byte_level(False),
    "byte level with prefix": lambda: byte_level(True),
}
TEXTS = st.lists(st.text(alphabet=LETTERS + " " * 8 + "\t\u3000´", max_size=40), min_size=1, max_size=30)


def whole(made: Tokenizer | BaseTokenizer, texts: list[str]) -> list[list[int]]:
    return [made.encode(text).ids for text in texts]


def separate(ids: Ids) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids.flat, np.cumsum(ids.lengths)[:-1])]


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(blocks=st.lists(TEXTS, min_size=1, max_size=3))
def test_ids_are_those_of_whole_sentences(kind: str, blocks: list[list[str]]) -> None:
    made = TOKENIZERS[kind]()
    blocks[0].append("ab <mask> b a<mask>")
    for fast in (True, False):
        try:
            found = [separate(ids) for ids in encode(made, iter(blocks), fast)]
        except LooksAcrossSpacesError:
            continue  # the caller starts again without `fast`, the next turn of this loop
        assert found == [whole(made, texts) for texts in blocks]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ordinary_tokenizers_are_recognized_as_splitting_at_spaces(kind: str) -> None:
    assert splits_at_spaces(TOKENIZERS[kind]())


def test_a_tokenizer_that_looks_across_spaces_is_recognized(caplog: pytest.LogCaptureFixture) -> None:
    made = unigram(split=False)
    assert not splits_at_spaces(made)
    texts = ["a b", "b a b", "ab"]
    with caplog.at_level(logging.INFO):
        assert separate(next(encode(made, iter([texts])))) == whole(made, texts)
    assert "looks across spaces" in caplog.text


def test_the_number_of_known_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_KNOWN_AT_MOST", 5)
    made, rng = wordpiece(), np.random.default_rng(0)
    blocks = [[" ".join([*rng.choice(list("abcd"), 3).tolist(), "ab" * n]) for _ in range(4)] for n in range(1, 6)]
    assert [separate(ids) for ids in encode(made, iter(blocks))] == [whole(made, texts) for texts in blocks]


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=8), st.data())
def test_ids_of_some_texts(texts: list[list[int]], data: st.DataObject) -> None:
    ids = Ids(np.array([*chain.from_iterable(texts)], np.int32), np.array([len(text) for text in texts]))
    which = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=10))
    assert separate(ids.take(np.array(which, np.int64))) == ([texts[index] for index in which] or [[]])


LANGUAGES = {"tur_Latn": 150, "kor_Hang": 60, "swh_Latn": 20}


def corpus(folder: Path, sizes: dict[str, int]) -> pl.DataFrame:
    """Sentences of 0 to 8 words; the first letter of every word is that of its language."""
    rng = np.random.default_rng(0)
    rows = [
        (language, f"{number:04d}", " ".join(f"{language[0]}{word}" for word in rng.integers(30, size=rng.integers(9))))
        for language, count in sizes.items()
        for number in range(count)
    ]
    table = pl.DataFrame(rows, schema={"language": pl.String, "sentence_id": pl.String, "text": pl.String}, orient="row")
    write_table(folder / "sentences.parquet", _blocks(table), Provenance("corpus"))
    return table


def _blocks(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    yield from table.iter_slices(70) if len(table) else [table]


def write_tokenizer(folder: Path) -> Tokenizer:
    words = [f"{letter}{word}" for letter in "tks" for word in range(30)]
    made = Tokenizer(models.WordLevel({token: n for n, token in enumerate(["<s>", "</s>", "<unk>", *words])}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    _frame(made)
    # what a tokenizer.json may carry along, and what must not touch the data
    made.enable_truncation(4)
    made.enable_padding(length=6)
    made.save(str(folder / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus(tmp_path, LANGUAGES)
    write_tokenizer(tmp_path)
    return tmp_path


def pack(folder: Path, language: str = "tur_Latn", **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (N, length) and the sentences that begin in each."""
    out = folder / "out" / f"{language}.arrow"
    options: dict[str, Any] = {"max_sentences": None, "length": LENGTH, **changes}
    write_shard(folder / "sentences.parquet", folder, out, language=language, provenance=Provenance(packing.STAGE), **options)
    check(out, packing.STAGE)
    batches = map_arrow(out)
    tokens = [batch.column(0).flatten().to_numpy().reshape(len(batch), -1) for batch in batches]
    return np.concatenate(tokens), np.concatenate([batch.column(1).to_numpy() for batch in batches])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("block", "batch"), [(1 << 15, 1 << 10), (37, 4)])
def test_a_shard_is_the_joined_sentences_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, block: int, batch: int, language: str
) -> None:
    monkeypatch.setattr(packing, "SENTENCES_A_BLOCK", block)
    monkeypatch.setattr(packing, "SEQUENCES_A_BATCH", batch)
    texts = corpus(folder, LANGUAGES).filter(language=language)["text"].to_list()
    joined = list(chain.from_iterable(whole(write_tokenizer(folder), texts)))
    sequences, sentences = pack(folder, language)
    count = len(joined) // LENGTH
    assert sequences.dtype == np.int32
    assert sequences.tolist() == np.array(joined[: count * LENGTH]).reshape(count, LENGTH).tolist()
    assert sentences.tolist() == (sequences == 0).sum(1).tolist()


def test_the_metadata_of_a_shard(folder: Path) -> None:
    pack(folder)
    assert read_metadata(folder / "out" / "tur_Latn.arrow") == {
        "language": "tur_Latn",
        "length": LENGTH,
        "tokenizer_sha256": tokenizer_digest(folder),
    }


def test_a_limit_takes_the_first_sentences(folder: Path) -> None:
    full, limited = pack(folder)[0], pack(folder, max_sentences=40)[0]
    assert 0 < len(limited) < len(full)
    assert (full[: len(limited)] == limited).all()
    assert len(pack(folder, max_sentences=10_000)[0]) == len(full)


def test_a_shard_has_the_same_bytes_every_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "out" / "tur_Latn.arrow"
    pack(folder)
    content = path.read_bytes()
    monkeypatch.setattr(packing, "SENTENCES_A_BLOCK", 11)
    pack(folder)
    assert path.read_bytes() == content


def test_memory_is_bounded_by_a_block(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus eight times as large takes no more memory, neither in Python and numpy nor in Arrow."""
    monkeypatch.setattr(packing, "SENTENCES_A_BLOCK", 200)
    monkeypatch.setattr(packing, "SEQUENCES_A_BATCH", 8)
    peaks = []
    for size in (2_000, 16_000):
        corpus(folder, {"tur_Latn": size})
        pack(folder, max_sentences=400)  # what is made once, and what imports take
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        held: list[int] = []
        monkeypatch.setattr(packing, "encode", _noting(held, before))
        write_shard(
            *(folder / "sentences.parquet", folder, folder / "out" / "large.arrow"),
            **{"language": "tur_Latn", "max_sentences": None, "length": LENGTH, "provenance": Provenance(packing.STAGE)},
        )
        peaks.append((tracemalloc.get_traced_memory()[1], max(held)))
        tracemalloc.stop()
    assert peaks[1][0] < 1.5 * peaks[0][0]
    assert peaks[1][1] < 1.5 * peaks[0][1]


def _noting(held: list[int], before: int) -> Callable[..., Iterator[Ids]]:
    def noting(*args: Any) -> Iterator[Ids]:
        for ids in encode(*args):
            held.append(pa.total_allocated_bytes() - before)
            yield ids

    return noting


def test_a_sentence_with_other_ids_than_its_words_restarts_the_packing_slowly(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # a token that holds a space, which no sentence of the trial has
    ids = {**made.get_vocab(), "t1": 500, "t1 t2": 501}
    made = Tokenizer(models.WordLevel(ids, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("t1 t2", "isolated")
    made.save(str(folder / "tokenizer.json"))
    rows = {"language": ["tur_Latn"] * 40, "sentence_id": [str(n) for n in range(40)], "text": ["t1 t2"] * 40}
    write_table(folder / "sentences.parquet", pl.DataFrame(rows), Provenance("corpus"))
    with caplog.at_level(logging.INFO):
        sequences, _ = pack(folder)
    assert (sequences == 501).all()
    assert "looks across spaces" in caplog.text or "sentence by sentence" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"language": "swa_Latn"}, r"no sentences in 'swa_Latn'(.|\n)*did you mean 'swh_Latn'"),
        ({"length": 100_000}, r"the text has \d+ tokens, less than one sequence of 100000"),
    ],
)
def test_an_unknown_language_and_too_little_text_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack(folder, **changes)
    assert not list(folder.glob("out/*"))


def test_an_empty_corpus_is_refused(folder: Path) -> None:
    corpus(folder, {})
    with pytest.raises(InputError, match="the corpus has no sentences"):
        pack(folder)


def test_mixed_languages_in_the_table_are_refused(folder: Path) -> None:
    table = corpus(folder, LANGUAGES).sample(fraction=1, shuffle=True, seed=0)
    write_table(folder / "sentences.parquet", table, Provenance("corpus"))
    with pytest.raises(ArtifactError, match="mixed"):
        pack(folder)


@pytest.mark.parametrize("text", [None, "{}"])
def test_a_tokenizer_that_cannot_be_read_is_an_error(folder: Path, text: str | None) -> None:
    (folder / "tokenizer.json").unlink()
    if text is not None:
        (folder / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match=r"no tokenizer\.json|cannot be read"):
        pack(folder)


def test_a_tokenizer_without_sentence_marks_is_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    made.save(str(folder / "tokenizer.json"))
    with caplog.at_level(logging.WARNING):
        sequences, _ = pack(folder)
    assert "no special tokens around sentences" in caplog.text
    assert not np.isin(sequences, (0, 1)).any()
