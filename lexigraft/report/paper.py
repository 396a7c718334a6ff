"""The figures that HyperOFA's authors published (arXiv 2504.21018), as tables that a run's own can be compared with.

The files beside this module (`data/paper_*.tsv`) hold them as printed. What is known to be a slip is put right on reading, and
labels that cannot be right are marked, see `docs/methods.md`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import polars as pl

DATA = Path(__file__).parents[1] / "data"
# names in full: a digest of code finds the files by them
FILES = {
    "scores": DATA / "paper_scores.tsv",
    "languages": DATA / "paper_languages.tsv",
    "cpt_languages": DATA / "paper_cpt_languages.tsv",
    "tokens": DATA / "paper_tokens.tsv",
}
METRICS = {"sr_b": "top_10", "sr_t": "top_10", "ner": "f1", "pos": "f1"}
"""The metric of each of the paper's tasks."""
MEAN = "mean"
"""Stands for a language where a score is a mean over languages."""
MEANS_OF_ALL, MEANS_OF_PRETRAINING = 3, 4
"""Tables with means: of all languages of a task, and of those that the models are pre-trained on."""
SLIPS = {"swl_Latn": "swh_Latn", "jpn_Japn": "jpn_Jpan"}
"""Codes that the paper prints -> the code of the language that its text is in."""
UNCERTAIN = {(11, "khm_Khmr"), (11, "yue_Hani"), (11, "kab_Latn")}
"""Labels of table 11 from where its rows leave the paper's own list of languages on: two of them have no test set."""
_MODEL = re.compile(r"(random|ofa|hyperofa)-(mono|multi)-(100|200|400)")


def canonical(language: str) -> str:
    """The right code of a language, where the paper prints another one."""
    return SLIPS.get(language, language)


@cache
def published_scores() -> pl.DataFrame:
    """The paper's scores, in percent: tables 3 and 4 (means), 8 to 15 (languages).

    Returns:
        table int64, model str, step int64, task str, language str (`canonical`; `MEAN`), score float64, certain bool (false for
        labels in `UNCERTAIN`).
    """
    table = _read("scores").rename({"cpt_step": "step"})
    uncertain = [(pl.col("table") == number) & (pl.col("language") == language) for number, language in sorted(UNCERTAIN)]
    return table.with_columns(~pl.any_horizontal(uncertain).alias("certain"), pl.col("language").replace(SLIPS))


@cache
def task_languages() -> dict[str, tuple[str, ...]]:
    """Languages of each task's full list (appendix C.1), `canonical`, in the paper's order."""
    table = _read("languages").with_columns(pl.col("language").replace(SLIPS))
    return {str(task): tuple(part["language"]) for (task,), part in table.group_by("task", maintain_order=True)}


@cache
def reported_languages(task: str) -> tuple[str, ...]:
    """The languages of pre-training that a task is reported on, one by one and as a mean (table 4), `canonical`."""
    scores = published_scores().filter(pl.col("task") == task, pl.col("language") != MEAN)
    certain = scores.filter(pl.col("certain").all().over("table"))
    return tuple(certain["language"].unique(maintain_order=True))


@cache
def pretraining_languages() -> pl.DataFrame:
    """Languages of the continual pre-training: resource str (high, mid, low), language str (`canonical`), available int64 and
    used int64 (sentences in Glot500-c, and taken from it).
    """
    names = {"glot500c_sentences": "available", "sampled_sentences": "used"}
    return _read("cpt_languages").rename(names).with_columns(pl.col("language").replace(SLIPS))


@cache
def published_origins() -> dict[str, dict[str, int]]:
    """Table 2, rounded to thousands as printed: source (mono, multi) -> copied, computed, random, total tokens."""
    return {str(row.pop("source")): row for row in _read("tokens").to_dicts()}


def origins_of(model: str) -> dict[str, int] | None:
    """What `published_origins` says of a model by its name; None for models that are not the paper's and for baselines."""
    found = _MODEL.fullmatch(model)
    return published_origins().get(found[2]) if found and found[1] != "random" else None


def _read(name: str) -> pl.DataFrame:
    return pl.read_csv(FILES[name], separator="\t")
