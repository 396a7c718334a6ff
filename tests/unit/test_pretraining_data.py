"""Packing of pre-training data against one `encode` call a sentence."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from lexigraft.artifacts import Provenance, read_table, write_table
from lexigraft.errors import ArtifactError, InputError
from lexigraft.pretraining import data
from lexigraft.pretraining.data import write_pretraining_data

LANGUAGES = {"tur_Latn": 150, "kor_Hang": 60, "swh_Latn": 20}
LENGTH = 16
START, END = 1, 2


def corpus(folder: Path, sizes: dict[str, int]) -> pl.DataFrame:
    """Sentences of 0 to 8 words; every word tells its language by its first letter."""
    rng = np.random.default_rng(0)
    rows = [
        (language, f"{number:04d}", " ".join(f"{language[0]}{word}" for word in rng.integers(30, size=rng.integers(9))))
        for language, count in sizes.items()
        for number in range(count)
    ]
    table = pl.DataFrame(rows, schema={"language": pl.String, "sentence_id": pl.String, "text": pl.String}, orient="row")
    write_table(folder / "sentences.parquet", table, Provenance("corpus"))
    return table


def tokenizer(folder: Path) -> Tokenizer:
    words = [f"{letter}{word}" for letter in "tks" for word in range(30)]
    ids = {token: index for index, token in enumerate(["<unk>", "<s>", "</s>", "<mask>", *words])}
    made = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", START), ("</s>", END)]
    )
    # what a tokenizer.json may carry along, and what must not touch the data
    made.enable_truncation(4)
    made.enable_padding(length=6)
    made.save(str(folder / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


def pack(folder: Path, seed: int = 7, **changes: Any) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    """Sequences (N, length) and language -> (sentences, tokens)."""
    out, counts = folder / "out" / "sequences.parquet", folder / "out" / "counts.parquet"
    options = {"languages": None, "sampling_exponent": 1.0, "length": LENGTH, **changes}
    provenance = Provenance("pretraining_data", seed=seed)
    write_pretraining_data(folder / "sentences.parquet", folder, out, counts, seed=seed, provenance=provenance, **options)
    sequences = read_table(out, "pretraining_data")["tokens"].to_numpy()
    table = read_table(counts, "pretraining_data")
    return sequences, {language: (sentences, tokens) for language, sentences, tokens in table.iter_rows()}


def sentences_in(sequences: np.ndarray) -> Counter[tuple[int, ...]]:
    """Whole sentences of the joined sequences; the last may be cut."""
    found: Counter[tuple[int, ...]] = Counter()
    current: list[int] = []
    for token in sequences.ravel().tolist():
        current.append(token)
        if token == END:
            found[tuple(current)] += 1
            current = []
    return found


def tokens_by_language(sequences: np.ndarray, made: Tokenizer) -> Counter[str]:
    """Text tokens of each language, told by their first letter."""
    return Counter(made.id_to_token(token)[0] for token in sequences.ravel().tolist() if token not in (START, END))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus(tmp_path, LANGUAGES)
    tokenizer(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", [1 << 20, 37])
def test_sequences_are_the_joined_sentences(folder: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(data, "SENTENCES_A_BLOCK", block)
    monkeypatch.setattr(data, "_TEXTS_A_BATCH", 11)
    made = tokenizer(folder)
    texts = read_table(folder / "sentences.parquet", "corpus")["text"].to_list()
    wanted = Counter(tuple(made.encode(text).ids) for text in texts)
    sequences, _ = pack(folder)

    assert sequences.dtype == np.int32
    assert sequences.shape == (sum(len(ids) * n for ids, n in wanted.items()) // LENGTH, LENGTH)
    found = sentences_in(sequences)
    missing = wanted - found
    assert not found - wanted
    # only what lies in the remainder is missing
    assert sum(len(ids) * n for ids, n in missing.items()) < LENGTH + max(map(len, wanted))


def test_counts_are_exact(folder: Path) -> None:
    sequences, counts = pack(folder)
    made = tokenizer(folder)
    assert {language: sentences for language, (sentences, _) in counts.items()} == LANGUAGES
    assert sum(tokens for _, tokens in counts.values()) == sequences.size
    # special tokens count for their sentence's language: two a sentence, but for those cut off at the end
    by_letter = tokens_by_language(sequences, made)
    specials = {language: counts[language][1] - by_letter[language[0]] for language in LANGUAGES}
    assert sum(specials.values()) == np.isin(sequences, (START, END)).sum()
    for language, sentences in LANGUAGES.items():
        assert 0 <= 2 * sentences - specials[language] <= 2 * LENGTH


@pytest.mark.parametrize("block", [1 << 20, 60])
def test_languages_are_mixed_everywhere(folder: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(data, "SENTENCES_A_BLOCK", block)
    made = tokenizer(folder)
    sequences, _ = pack(folder)
    for part in np.array_split(sequences, 3):
        share = tokens_by_language(part, made)
        assert all(share[language[0]] > 0.1 * size / 230 * share.total() for language, size in LANGUAGES.items())


def test_the_same_seed_gives_the_same_bytes(folder: Path) -> None:
    path = folder / "out" / "sequences.parquet"
    first, _ = pack(folder)
    content = path.read_bytes()
    pack(folder)
    assert path.read_bytes() == content
    other, _ = pack(folder, seed=8)
    assert (other != first).any()


def test_chosen_languages_only(folder: Path) -> None:
    sequences, counts = pack(folder, languages=["swh_Latn", "kor_Hang"])
    assert list(counts) == ["swh_Latn", "kor_Hang"]
    assert set(tokens_by_language(sequences, tokenizer(folder))) == {"s", "k"}


def test_a_small_exponent_evens_the_languages_out(folder: Path) -> None:
    _, counts = pack(folder, sampling_exponent=0.3)
    sizes = np.array(list(LANGUAGES.values()))
    wanted = np.rint(sizes.sum() * sizes**0.3 / np.sum(sizes**0.3))
    assert [sentences for sentences, _ in counts.values()] == wanted.tolist()


def test_a_repeated_language_is_repeated_as_a_whole(tmp_path: Path) -> None:
    table = corpus(tmp_path, {"tur_Latn": 400, "swh_Latn": 25})
    made = tokenizer(tmp_path)
    sequences, counts = pack(tmp_path, sampling_exponent=0.01)
    own = Counter(tuple(made.encode(text).ids) for text in table.filter(language="swh_Latn")["text"] if text)
    found = sentences_in(sequences)
    rounds = counts["swh_Latn"][0] // 25
    assert rounds >= 7
    # but for the sentences in the remainder
    assert sum(found[ids] >= rounds * times for ids, times in own.items()) >= len(own) - 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"languages": ["tur_Latn", "swa_Latn"]}, r"no sentences in 'swa_Latn'(.|\n)*did you mean 'swh_Latn'"),
        ({"length": 100_000}, r"the corpus has \d+ tokens, less than one sequence of 100000"),
    ],
)
def test_wrong_demands_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack(folder, **changes)
    assert not list(folder.glob("out/*"))


def test_an_empty_corpus_is_refused(folder: Path) -> None:
    corpus(folder, {})
    with pytest.raises(InputError, match="the corpus has no sentences"):
        pack(folder)


def test_mixed_languages_in_the_table_are_refused(folder: Path) -> None:
    table = read_table(folder / "sentences.parquet", "corpus")
    write_table(folder / "sentences.parquet", table.sample(fraction=1, shuffle=True, seed=0), Provenance("corpus"))
    with pytest.raises(ArtifactError, match="mixed"):
        pack(folder)


@pytest.mark.parametrize("text", [None, "{}"])
def test_a_tokenizer_that_cannot_be_read_is_told(folder: Path, text: str | None) -> None:
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
    assert not np.isin(sequences, (START, END)).any()
