"""Corpora in aligned TSV files: compared with plain loops, and invalid files."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pytest
from corpora_cases import Corpus, error_of, pivot_folder
from hypothesis import given
from hypothesis import strategies as st

from lexigraft.errors import ConfigError
from tests.shared_data import shared_data


def test_pairs_share_ids_through_the_pivot(tmp_path: Path) -> None:
    files = {"tur_Latn": "Hello.\tMerhaba.\nWater\tSu\n", "fra_Latn": "Water\tEau\nBread\tPain\nWater \tDe l'eau\n"}
    corpus = Corpus(tmp_path / "out", pivot_folder(tmp_path / "tsv", files))
    assert corpus.texts("eng_Latn") == ["Water", "Bread", "Hello."]
    by_id = {
        key: dict(part.select("language", "text").iter_rows()) for (key,), part in corpus.sentences.group_by("sentence_id")
    }
    water = blake2b(b"Water", digest_size=8).hexdigest()
    assert by_id[water] == {"eng_Latn": "Water", "tur_Latn": "Su", "fra_Latn": "Eau"}
    assert len(by_id) == 3
    assert corpus.count("fra_Latn")["duplicate_ids"] == 1
    assert corpus.count("eng_Latn")["duplicate_ids"] == 2
    assert corpus.sentences["language"].unique(maintain_order=True).to_list() == ["eng_Latn", "fra_Latn", "tur_Latn"]


def test_empty_sides_are_counted_and_dropped(tmp_path: Path) -> None:
    settings = pivot_folder(tmp_path / "tsv", {"tur_Latn": "Water\t\n\tSu\nBread\tEkmek\nBread\t-\nFire\tAteş"})
    corpus = Corpus(tmp_path / "out", settings)
    assert corpus.texts("tur_Latn") == ["Ekmek", "Ateş"]
    assert corpus.texts("eng_Latn") == ["Water", "Bread", "Fire"]
    assert corpus.count("tur_Latn")["empty"] == 3
    counts = corpus.count("eng_Latn")
    assert (counts["empty"], counts["duplicate_ids"]) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", ""])), min_size=1, max_size=12))
def test_pairs_equal_those_of_a_plain_loop(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    first: dict[str, str] = {}
    for pivot, side in pairs:
        if side:
            first.setdefault(pivot, side)
    settings = pivot_folder(folder / "tsv", {"tur_Latn": "".join(f"{pivot}\t{side}\n" for pivot, side in pairs)})
    if not first:
        assert "no sentence of tur_Latn remains" in error_of(folder, settings)
        return
    corpus = Corpus(folder / "out", settings)
    assert corpus.texts("tur_Latn") == list(first.values())
    assert corpus.texts("eng_Latn") == list(dict.fromkeys(pivot for pivot, _ in pairs))
    assert corpus.count("tur_Latn")["read"] == len(pairs)


def test_one_file_with_a_header_is_read(tmp_path: Path) -> None:
    file = tmp_path / "all.tsv"
    file.write_text("eng_Latn\ttur_Latn\tfra_Latn\nWater\tSu\tEau\nBread\t\tPain\n", encoding="utf-8")
    corpus = Corpus(tmp_path / "out", {"adapter": "aligned_tsv", "path": str(file), "languages": ["tur_Latn", "eng_Latn"]})
    assert corpus.sentences.rows() == [("tur_Latn", "0", "Su"), ("eng_Latn", "0", "Water"), ("eng_Latn", "1", "Bread")]
    assert corpus.count("tur_Latn")["empty"] == 1


def test_invalid_tsv_raises_an_error(tmp_path: Path) -> None:
    message = error_of(tmp_path, pivot_folder(tmp_path / "tsv", {"tur_Latn": "a\tb\nWater\tSu\tEau\n"}))
    assert "3 columns, expected 2" in message
    assert "tur_Latn.tsv, line 2" in message
    file = tmp_path / "all.tsv"
    settings = {"adapter": "aligned_tsv", "path": str(file)}
    file.write_text("eng_Latn\ttur_Latn\na\tb\nc\n")
    message = error_of(tmp_path, settings)
    assert "1 columns, expected 2 (eng_Latn, tur_Latn)" in message
    assert "all.tsv, line 3" in message
    file.write_text("English\tTurkish\na\tb\n")
    assert "'English'" in error_of(tmp_path, settings)
    file.write_text("eng_Latn\teng_Latn\na\tb\n")
    assert "twice" in error_of(tmp_path, settings)
    file.write_text("eng_Latn\ttur_Latn\na\tb\n")
    assert "no column for language 'tuk_Latn'" in error_of(tmp_path, settings | {"languages": ["tuk_Latn"]}, ConfigError)


def test_a_folder_of_pairs_without_pivot_raises_an_error(tmp_path: Path) -> None:
    settings = pivot_folder(tmp_path / "tsv", {"tur_Latn": "a\tb\n"})
    del settings["pivot"]
    assert "`pivot`" in error_of(tmp_path, settings, ConfigError)
    settings = pivot_folder(tmp_path / "self", {"tur_Latn": "a\tb\n", "eng_Latn": "a\ta\n"})
    assert "eng_Latn.tsv pairs the pivot language with itself" in error_of(tmp_path, settings)


def test_tatoeba_pairs_have_unique_ids(tmp_path: Path) -> None:
    source = shared_data("tatoeba")
    codes = {"tur": "tur_Latn", "kor": "kor_Hang", "jpn": "jpn_Jpan"}
    files = {code: (source / f"{name}.tsv").read_text(encoding="utf-8") for name, code in codes.items()}
    corpus = Corpus(tmp_path / "out", pivot_folder(tmp_path / "tsv", files))
    for text, code in ((text, code) for code, text in files.items()):
        pivots = [line.split("\t")[0] for line in text.splitlines()]
        assert corpus.count(code)["read"] == len(pivots) == 1000
        assert len(corpus.ids(code)) == len(set(corpus.ids(code))) == len(set(pivots))
    english = dict(corpus.sentences.filter(language="eng_Latn").select("sentence_id", "text").iter_rows())
    assert all(set(corpus.ids(code)) <= set(english) for code in codes.values())
