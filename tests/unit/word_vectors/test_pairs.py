"""Sentence pairs as test sets, and corpora whose every sentence is for testing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lexigraft.artifacts import Provenance, read_table
from lexigraft.corpora.build import write_corpus
from lexigraft.corpora.pairs import read_pairs
from lexigraft.corpora.settings import CorpusSettings, PairsCorpus
from lexigraft.corpora.sources import corpus_languages, corpus_sources
from lexigraft.errors import ConfigError, InputError
from lexigraft.evaluation.retrieval import encoded_queries
from lexigraft.settings import parse
from tests.shared_data import shared_data

PAIRS = [("A cat.", "Bir kedi."), ("A dog.", "Bir köpek."), ("1, 2, 3.", "1, 2, 3."), ("A cat.", "Kedi.")]


def settings(folder: Path, **values: object) -> PairsCorpus:
    found: PairsCorpus = parse(
        CorpusSettings, {"adapter": "pairs", "path": str(folder), "languages": {"tur_Latn": "tur"}, **values}
    )
    return found


def made(corpus: PairsCorpus, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    paths = [folder / f"{name}.parquet" for name in ("sentences", "held_out", "counts")]
    write_corpus(corpus, paths[0], paths[1], paths[2], Provenance("corpus"))
    sentences, held_out, counts = (read_table(path, "corpus") for path in paths)
    return sentences, held_out, counts


@pytest.fixture
def tsv(tmp_path: Path) -> Path:
    (tmp_path / "tur.tsv").write_text("".join(f"{query}\t{sentence}\n" for query, sentence in PAIRS))
    return tmp_path


@pytest.fixture
def laser(tmp_path: Path) -> Path:
    (tmp_path / "tatoeba.tur-eng.eng").write_text("".join(f"{query}\n" for query, _ in PAIRS))
    (tmp_path / "tatoeba.tur-eng.tur").write_text("".join(f"{sentence}\n" for _, sentence in PAIRS))
    return tmp_path


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    pl.DataFrame(PAIRS, schema=["query", "sentence"], orient="row").write_parquet(tmp_path / "tur.parquet")
    return tmp_path


def test_a_pair_with_an_empty_side_is_no_pair(tmp_path: Path) -> None:
    (tmp_path / "tur.tsv").write_text("Hello\tMerhaba\n\tBos\nYes\t \nGo\tGit\n")
    _, held_out, counts = made(settings(tmp_path), tmp_path)
    ids = {language: held_out.filter(language=language)["sentence_id"].to_list() for language in ("eng_Latn", "tur_Latn")}
    assert ids["eng_Latn"] == ids["tur_Latn"] == ["tur_Latn/0", "tur_Latn/3"]
    assert counts["empty"].to_list() == [2, 2]


def test_bad_parquet_pairs(tmp_path: Path) -> None:
    path = tmp_path / "tur.parquet"
    for table, message in (
        (
            pl.DataFrame({"query": ["a"], "text": ["b"]}),
            "no strings in a column 'sentence': the file has query .large_string., text",
        ),
        (pl.DataFrame({"query": [], "sentence": []}, schema=dict.fromkeys(("query", "sentence"), pl.String)), "is empty"),
    ):
        table.write_parquet(path)
        with pytest.raises(InputError, match=message):
            read_pairs([path])
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_pairs([path])


@pytest.mark.parametrize("layout", ["tsv", "laser", "parquet"])
def test_both_layouts_give_the_same_pairs(layout: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(layout)
    sentences, held_out, counts = made(settings(folder), folder)
    assert sentences.is_empty()
    assert dict(zip(counts["language"], counts["held_out"], strict=True)) == {"eng_Latn": 3, "tur_Latn": 3}
    sides = held_out.partition_by("language", as_dict=True)
    pairs = sides["eng_Latn",].join(sides["tur_Latn",], on="sentence_id", maintain_order="left")
    assert list(pairs.select("text", "text_right").iter_rows()) == [PAIRS[0], PAIRS[1], PAIRS[3]]
    assert pairs["sentence_id"].to_list() == ["tur_Latn/0", "tur_Latn/1", "tur_Latn/3"]


def test_english_sides_of_two_languages_are_kept_apart(tsv: Path) -> None:
    (tsv / "deu.tsv").write_text("A cat.\tEine Katze.\nRain.\tRegen.\n")
    corpus = settings(tsv, languages={"tur_Latn": "tur", "deu_Latn": "deu"}, max_sentences={"tur_Latn": 1})
    _, held_out, _ = made(corpus, tsv)
    assert held_out.filter(language="eng_Latn")["sentence_id"].to_list() == ["tur_Latn/0", "deu_Latn/0", "deu_Latn/1"]
    assert held_out.filter(language="tur_Latn")["text"].to_list() == ["Bir kedi."]
    assert corpus_languages(corpus) == ["eng_Latn", "tur_Latn", "deu_Latn"]
    assert [Path(file).name for file in corpus_sources(corpus)] == ["tur.tsv", "deu.tsv"]


def test_each_distinct_query_is_encoded_once(tsv: Path) -> None:
    import numpy as np

    class Lengths:
        """An encoder whose vectors are the lengths of the texts; it keeps what it was given."""

        def encode_layers(self, texts: list[str], what: str) -> np.ndarray:  # noqa: ARG002
            self.texts = texts
            return np.array([[[len(text)] for text in texts]], dtype=np.float32)

    _, held_out, _ = made(settings(tsv), tsv)
    extra = pl.DataFrame({"language": ["eng_Latn"], "sentence_id": ["kor_Hang/0"], "text": ["Nobody asks."]})
    encoder = Lengths()
    queries, vectors = encoded_queries(encoder, pl.concat([held_out, extra]), "eng_Latn", ["tur_Latn"])  # type: ignore[arg-type]
    assert encoder.texts == ["A cat.", "A dog."]
    assert queries["sentence_id"].to_list() == ["tur_Latn/0", "tur_Latn/1", "tur_Latn/3"]
    assert queries["vector"].to_list() == [0, 1, 0]
    assert vectors.shape == (1, 2, 1)


def test_every_corpus_can_be_used_only_for_testing(tmp_path: Path) -> None:
    for language in ("eng_Latn", "kor_Hang"):
        (tmp_path / f"{language}.txt").write_text("one\ntwo\nthree\n")
    corpus = parse(CorpusSettings, {"adapter": "text_folder", "path": str(tmp_path), "held_out": "all", "max_sentences": 2})
    sentences, held_out, counts = made(corpus, tmp_path / "out")
    assert sentences.is_empty()
    assert held_out["sentence_id"].to_list() == ["0", "1", "0", "1"]
    assert counts["beyond_limit"].to_list() == [1, 1]
    assert counts["kept"].to_list() == [0, 0]


def test_limits_by_language(tmp_path: Path) -> None:
    for language in ("eng_Latn", "kor_Hang", "tur_Latn"):
        (tmp_path / f"{language}.txt").write_text("one\ntwo\nthree\n")
    limits = {"eng_Latn": 1, "kor_Hang": 2}
    corpus = parse(CorpusSettings, {"adapter": "text_folder", "path": str(tmp_path), "max_sentences": limits})
    sentences, _, counts = made(corpus, tmp_path / "out")
    assert dict(zip(counts["language"], counts["kept"], strict=True)) == {"eng_Latn": 1, "kor_Hang": 2, "tur_Latn": 3}
    assert len(sentences) == 6


def test_errors_name_the_problem(tsv: Path) -> None:
    (tsv / "tatoeba.kor-eng.kor").write_text("하나\n둘\n")
    with pytest.raises(InputError, match="no sentence pairs of one side of kor"):
        corpus_sources(settings(tsv, languages={"kor_Hang": "kor"}))
    (tsv / "tatoeba.kor-eng.eng").write_text("one\n")
    with pytest.raises(InputError, match=r"2 sentences but 1 in tatoeba.kor-eng.eng"):
        made(settings(tsv, languages={"kor_Hang": "kor"}), tsv)
    with pytest.raises(InputError, match=r"no sentence pairs of deu \(deu_Latn\), fra \(fra_Latn\)"):
        corpus_sources(settings(tsv, languages={"deu_Latn": "deu", "fra_Latn": "fra", "tur_Latn": "tur"}))
    (tsv / "ita.tsv").write_text("a\tb\na b\n")
    with pytest.raises(InputError, match=r"1 columns, expected 2(.|\n)*ita.tsv, line 2"):
        made(settings(tsv, languages={"ita_Latn": "ita"}), tsv)
    (tsv / "spa.tsv").write_text("")
    with pytest.raises(InputError, match="the file of sentence pairs is empty"):
        made(settings(tsv, languages={"spa_Latn": "spa"}), tsv)
    with pytest.raises(ConfigError, match="cannot be paired with itself"):
        made(settings(tsv, languages={"eng_Latn": "tur"}), tsv)
    with pytest.raises(InputError, match=r"folder .* does not exist"):
        corpus_sources(settings(tsv / "nowhere"))


def test_real_pairs(tmp_path: Path) -> None:
    corpus = settings(shared_data("tatoeba"), languages={"tur_Latn": "tur", "kor_Hang": "kor"}, max_sentences=1000)
    _, held_out, _ = made(corpus, tmp_path)
    assert held_out.group_by("language").len().sort("language")["len"].to_list() == [2000, 1000, 1000]
