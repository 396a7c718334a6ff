"""The figures that HyperOFA's authors published (arXiv 2504.21018), as tables that a run's own can be compared with.

The files beside this module (`data/paper_*.tsv`) hold them as printed. What is known to be a slip is put right on reading, and
labels that cannot be right are marked, see `docs/methods.md`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import polars as pl

from lexigraft.errors import InputError
from lexigraft.languages import check_code

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
STEPS = (0, 4000)
_MODEL = re.compile(r"(random|ofa|hyperofa)-(mono|multi)-(100|200|400)")


def canonical(language: str) -> str:
    """The right code of a language, where the paper prints another one."""
    return SLIPS.get(language, language)


@cache
def published_scores(path: Path = FILES["scores"]) -> pl.DataFrame:
    """The paper's scores, in percent: tables 3 and 4 (means), 8 to 15 (languages).

    Returns:
        table int64, model str, step int64, task str, language str (`canonical`; `MEAN`), score float64, certain bool (false for
        labels in `UNCERTAIN`).

    Raises:
        InputError: the file is missing, or a value is none that the paper can have.
    """
    table = _read(path, {"table": pl.Int64, "model": pl.String, "cpt_step": pl.Int64, "task": pl.String, "language": pl.String})
    for name, wrong in (
        ("model", ~pl.col("model").str.contains(f"^{_MODEL.pattern}$")),
        ("cpt_step", ~pl.col("cpt_step").is_in(STEPS)),
        ("task", ~pl.col("task").is_in(list(METRICS))),
        ("score", ~pl.col("score").is_between(0, 100)),
        ("language", (pl.col("language") == MEAN) != pl.col("table").is_in([MEANS_OF_ALL, MEANS_OF_PRETRAINING])),
    ):
        _refuse(table.filter(wrong), name, path)
    _check_languages(table.filter(pl.col("language") != MEAN), path)
    uncertain = [(pl.col("table") == number) & (pl.col("language") == language) for number, language in sorted(UNCERTAIN)]
    table = table.with_columns(~pl.any_horizontal(uncertain).alias("certain"), pl.col("language").replace(SLIPS))
    table = table.rename({"cpt_step": "step"})
    key = ["table", "model", "step", "task", "language"]
    _refuse(table.filter(pl.struct(key).is_duplicated()), "language", path)
    return table.select(*key, "score", "certain")


@cache
def task_languages(path: Path = FILES["languages"]) -> dict[str, tuple[str, ...]]:
    """Languages of each task's full list (appendix C.1), `canonical`, in the paper's order.

    Raises:
        InputError: the file is missing, or a value is none that the paper can have.
    """
    table = _read(path, {"task": pl.String, "language": pl.String}, scores=False)
    _refuse(table.filter(~pl.col("task").is_in(list(METRICS))), "task", path)
    _check_languages(table, path)
    table = table.with_columns(pl.col("language").replace(SLIPS))
    _refuse(table.filter(table.is_duplicated()), "language", path)
    return {str(task): tuple(part["language"]) for (task,), part in table.group_by("task", maintain_order=True)}


@cache
def reported_languages(task: str) -> tuple[str, ...]:
    """The languages of pre-training that a task is reported on, one by one and as a mean (table 4), `canonical`."""
    scores = published_scores().filter(pl.col("task") == task, pl.col("language") != MEAN)
    certain = scores.filter(pl.col("certain").all().over("table"))
    return tuple(certain["language"].unique(maintain_order=True))


@cache
def pretraining_languages(path: Path = FILES["cpt_languages"]) -> pl.DataFrame:
    """Languages of the continual pre-training: resource str (high, mid, low), language str (`canonical`), available int64 and
    used int64 (sentences in Glot500-c, and taken from it).

    Raises:
        InputError: the file is missing, or a value is none that the paper can have.
    """
    types = {"resource": pl.String, "language": pl.String, "glot500c_sentences": pl.Int64, "sampled_sentences": pl.Int64}
    table = _read(path, types, scores=False).rename({"glot500c_sentences": "available", "sampled_sentences": "used"})
    _refuse(table.filter(~pl.col("resource").is_in(["high", "mid", "low"])), "resource", path)
    _refuse(table.filter(~pl.col("used").is_between(1, pl.col("available"))), "used", path)
    _check_languages(table, path)
    return table.with_columns(pl.col("language").replace(SLIPS))


@cache
def published_origins(path: Path = FILES["tokens"]) -> dict[str, dict[str, int]]:
    """Table 2, rounded to thousands as printed: source (mono, multi) -> copied, computed, random, total tokens.

    Raises:
        InputError: the file is missing, or the parts do not add up.
    """
    table = _read(
        path, {"source": pl.String} | dict.fromkeys(("copied", "computed", "random", "total"), pl.Int64), scores=False
    )
    _refuse(table.filter(pl.sum_horizontal("copied", "computed", "random") != pl.col("total")), "total", path)
    return {str(row.pop("source")): row for row in table.to_dicts()}


def origins_of(model: str) -> dict[str, int] | None:
    """What `published_origins` says of a model by its name; None for models that are not the paper's and for baselines."""
    found = _MODEL.fullmatch(model)
    return published_origins().get(found[2]) if found and found[1] != "random" else None


def _read(path: Path, types: dict[str, type[pl.DataType]], scores: bool = True) -> pl.DataFrame:
    schema = types | ({"score": pl.Float64} if scores else {})
    try:
        table = pl.read_csv(path, separator="\t", infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot be read as a table: {error}", where=path, hint=_HINT) from error
    if table.columns != list(schema):
        raise InputError(f"columns {', '.join(table.columns)}, expected {', '.join(schema)}", where=path, hint=_HINT)
    typed = table.with_columns(pl.col(name).cast(dtype, strict=False) for name, dtype in schema.items())
    for name in schema:
        _refuse(table.filter(typed[name].is_null()), name, path)
    return typed


def _check_languages(table: pl.DataFrame, path: Path) -> None:
    for code in table["language"].unique(maintain_order=True):
        try:
            check_code(code)
        except ValueError as error:
            raise InputError(str(error), where=path, hint=_HINT) from error


def _refuse(wrong: pl.DataFrame, column: str, path: Path) -> None:
    if not wrong.is_empty():
        raise InputError(f"{column}: the paper has no row {wrong.row(0)}", where=path, hint=_HINT)


_HINT = "install lexigraft again: the file is part of the package"
