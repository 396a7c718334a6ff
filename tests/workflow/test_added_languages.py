"""Adding a language to a task computes only that language, and trains no tagger again."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.checkout import Checkout, edit

RANKS = "results/mini/ranks/sr_b/ofa-minilm-32-step-0.parquet"
TAGGER = "results/mini/taggers/pos/ofa-minilm-32-step-0/seed-3/tagger.safetensors"
TAG_SCORES = "results/mini/tag_scores/pos/ofa-minilm-32-step-0/seed-3/sentences.parquet"
TAGGED = {
    "eng_Latn": [("In", "ADP"), ("the", "DET"), ("beginning", "NOUN"), ("was", "VERB"), ("the", "DET"), ("word", "NOUN")],
    "fra_Latn": [("Au", "ADP"), ("commencement", "NOUN"), ("était", "VERB"), ("la", "DET"), ("parole", "NOUN")],
    "kor_Hang": [("태초에", "NOUN"), ("말씀이", "NOUN"), ("계시니라", "VERB")],
}


def write_sentences(folder: Path) -> None:
    folder.mkdir()
    for language, words in TAGGED.items():
        rest = "\t".join("_" * 6)
        lines = [f"{number}\t{word}\t_\t{tag}\t{rest}" for number, (word, tag) in enumerate(words, start=1)]
        (folder / f"{language}.conllu").write_text(("\n".join(lines) + "\n\n") * 4, encoding="utf-8")


def configure(scratch: Checkout, before: str, languages: tuple[str, ...]) -> str:
    """Replace the tasks of the small run by retrieval and tagging in these languages; returns the new text."""
    test = ", ".join(f"{language}: tagged/{language}.conllu" for language in languages)
    tasks = f"""
  sr_b: {{kind: retrieval, corpus: bible, layer: 1, languages: [{", ".join(languages)}]}}
  pos:
    kind: tagging
    format: conllu
    train: {{eng_Latn: tagged/eng_Latn.conllu}}
    dev: {{eng_Latn: tagged/eng_Latn.conllu}}
    test: {{{test}}}
    seeds: [3]
    fine_tuning: {{epochs: 2, batch_size: 2}}
"""
    edit(scratch.folder / "mini.yaml", before, tasks)
    return tasks


def test_only_an_added_language_is_computed(scratch: Checkout) -> None:
    write_sentences(scratch.folder / "tagged")
    first = configure(scratch, "\n  sr_b: {kind: retrieval, corpus: bible, layer: 1}\n", ("fra_Latn",))
    targets = (RANKS, TAG_SCORES)
    assert scratch.planned(*targets) == {"ranks": 1, "tagger": 1, "tag_scores": 1}
    scratch.run(*targets)
    before = {path: pl.read_parquet(scratch.folder / path) for path in targets}
    tagger = (scratch.folder / TAGGER).stat().st_mtime_ns

    configure(scratch, first, ("kor_Hang", "fra_Latn"))
    assert scratch.planned(*targets) == {"ranks": 1, "tag_scores": 1}
    scratch.run(*targets)
    assert (scratch.folder / TAGGER).stat().st_mtime_ns == tagger
    for path in targets:
        after = pl.read_parquet(scratch.folder / path)
        assert after["language"].unique(maintain_order=True).to_list() == ["kor_Hang", "fra_Latn"]
        assert after.filter(language="fra_Latn").equals(before[path])
    for log, message in (
        ("ranks/sr_b/ofa-minilm-32-step-0.log", "1 languages to search on cpu, 1 reused"),
        ("tag_scores/pos/ofa-minilm-32-step-0-seed-3.log", "1 languages to score on cpu, 1 reused"),
    ):
        assert message in (scratch.folder / "logs" / log).read_text()
    assert scratch.planned(*targets) == {}
