"""Scores language by language, with intervals and what the tests show, and their means over groups of languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from markupsafe import Markup, escape

from lexigraft.evaluation.statistics import NO_DIFFERENCE
from lexigraft.languages import groups, languages, seen_groups
from lexigraft.report.inputs import Model
from lexigraft.report.tables import Column, of_column

_ASPECTS = {"script": "script", "family": "language family", "resource": "resource class"}
_MACROLANGUAGES = {
    **{"arb": "ara", "azj": "aze", "cmn": "zho", "ekk": "est", "gaz": "orm", "khk": "mon", "kmr": "kur", "lvs": "lav"},
    **{"nob": "nor", "npi": "nep", "ory": "ori", "pbt": "pus", "pes": "fas", "plt": "mlg", "als": "sqi", "swh": "swa"},
    **{"uzn": "uzb", "ydd": "yid", "zsm": "msa", "swl": "swa"},
}
"""Languages that text under the code of their macrolanguage (ISO 639-3) is mostly in; `swl` is HyperOFA's slip for Swahili."""
_SCRIPTS = {"Hans": "Hani", "Hant": "Hani", "Kore": "Hang"}


@dataclass(frozen=True, slots=True)
class LanguageTable:
    """Scores of every language in one column of the score table.

    Attributes:
        column: which.
        seed_groups: that were scored.
        rows: of the body, as HTML: they are most of the page.
        means: mean of each seed group, as text.
    """

    column: Column
    seed_groups: list[str]
    rows: Markup
    means: list[str]


def language_table(
    scores: pl.DataFrame,
    intervals: pl.DataFrame,
    comparisons: pl.DataFrame,
    column: Column,
    models: Mapping[str, Model],
    settings: Iterable[Sequence[str]],
) -> LanguageTable:
    """Scores by language, in the languages' order.

    Args:
        scores: of seed groups, averaged over seeds.
        intervals, comparisons: the artifacts, of models and seed groups.
        column: of the score table.
        models: by name.
        settings: seed groups that differ in method only.
    """
    chosen = of_column(scores, column)
    present = chosen["model"].unique(maintain_order=True).to_list()
    value = {(language, name): score for language, name, score in chosen.select("language", "model", "score").iter_rows()}
    names = {name: model.seed_group for name, model in models.items()}
    here = (pl.col("task") == column.task) & (pl.col("metric") == column.metric)
    own = intervals.filter(here, pl.col("step") == column.step).sort("seeds", maintain_order=True)
    ends = {
        (language, names.get(model, model)): f"{column.text(low)}–{column.text(high)}"
        for language, model, low, high in own.select("language", "model", "low", "high").iter_rows()
    }
    alike = comparisons.filter(here, pl.col("first_step") == column.step, kind="methods", verdict=NO_DIFFERENCE)
    same = {
        (language, frozenset((names.get(first, first), names.get(second, second))))
        for language, first, second in alike.select("language", "first", "second").iter_rows()
    }
    scored = [[name for name in setting if name in set(present)] for setting in settings]
    sizes = chosen.group_by("language", maintain_order=True).agg(pl.col("n").max())
    lines = []
    for language, n in sizes.iter_rows():
        marks: dict[str, str] = {}
        for names_of_setting in scored:
            of = {name: value[language, name] for name in names_of_setting if (language, name) in value}
            best = [name for name, score in of.items() if score == column.best(of.values())]
            marks |= {name: "tied" for name in of if (language, frozenset((name, best[0]))) in same}
            marks |= dict.fromkeys(best, "best")
        cells = [_cell(value.get((language, name)), ends.get((language, name)), marks.get(name), column) for name in present]
        known = languages().get(language)
        about = [known.name, known.family, known.resource or ""] if known else ["", "", ""]
        text = "".join(f'<td class="text">{escape(part)}</td>' for part in about)
        lines.append(f"<tr><th>{escape(language)}</th>{text}<td>{n:,}</td>{''.join(cells)}</tr>")
    mean = dict(chosen.group_by("model").agg(pl.col("score").mean()).iter_rows())
    return LanguageTable(column, present, Markup("\n".join(lines)), [column.text(mean[name]) for name in present])


def _cell(score: float | None, ends: str | None, mark: str | None, column: Column) -> str:
    if score is None:
        return "<td>–</td>"
    interval = f"<small>{ends}</small>" if ends else ""
    text = f"{column.text(score)}{'<sup>†</sup>' if mark == 'tied' else ''}"
    return f'<td class="best">{text}{interval}</td>' if mark == "best" else f"<td>{text}{interval}</td>"


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Means over groups of languages in one column of the score table.

    Attributes:
        column: which.
        seed_groups: that were scored.
        rows: aspect, group of languages, number of languages, and the mean of each seed group (None where it has none).
    """

    column: Column
    seed_groups: list[str]
    rows: list[tuple[str, str, int, list[float | None]]]


def group_table(
    scores: pl.DataFrame, column: Column, models: Mapping[str, Model], seen: Mapping[str, Sequence[str]]
) -> GroupTable:
    """Macro means by script, language family, resource class, and by whether the source model was trained on the language.

    Args:
        scores: of seed groups, averaged over seeds.
        column: of the score table.
        models: by seed group.
        seen: source -> languages that it was trained on; whole codes, as in the configuration.
    """
    chosen = of_column(scores, column)
    present = chosen["model"].unique(maintain_order=True).to_list()
    codes = chosen["language"].unique(maintain_order=True).to_list()
    rows: list[tuple[str, str, int, list[float | None]]] = []
    for aspect, title in _ASPECTS.items():
        parts = groups(codes, aspect)  # type: ignore[arg-type]
        of = {code: group for group, members in parts.items() for code in members}
        grouped = chosen.with_columns(pl.col("language").replace_strict(of, return_dtype=pl.String).alias("group"))
        mean = {(group, name): score for group, name, score in _means(grouped)}
        rows += [(title, name, len(parts[name]), [mean.get((name, one)) for one in present]) for name in sorted(parts)]
    parts_seen = [
        part.with_columns(pl.col("language").replace_strict(of, return_dtype=pl.String).alias("group"))
        for (name,), part in chosen.group_by("model", maintain_order=True)
        if (of := _seen_or_not(part["language"], seen.get(models[str(name)].source)))
    ]
    known = pl.concat(parts_seen or [chosen.clear().with_columns(pl.lit("").alias("group"))])
    mean = {(group, name): score for group, name, score in _means(known)}
    for name in ("seen", "unseen"):
        if any(group == name for group, _ in mean):
            count = known.filter(group=name)["language"].n_unique()
            rows.append(("source model", name, count, [mean.get((name, one)) for one in present]))
    return GroupTable(column, present, rows)


def _seen_or_not(codes: Iterable[str], seen: Sequence[str] | None) -> dict[str, str]:
    """Language -> `seen` or `unseen`; empty where it is not known what the source was trained on.

    Lists name Arabic `ara_Arab` or `arb_Arab`, Chinese `zho_Hani` or `cmn_Hans`: such names are one.
    """
    if not seen:
        return {}
    names = {code: _one_name(code) for code in codes}
    found = seen_groups(names.values(), map(_one_name, seen))
    of = {name: group for group, members in found.items() for name in members}
    return {code: of[name] for code, name in names.items()}


def _one_name(code: str) -> str:
    language, _, script = code.partition("_")
    return f"{_MACROLANGUAGES.get(language, language)}_{_SCRIPTS.get(script, script)}"


def _means(grouped: pl.DataFrame) -> Iterable[tuple[str, str, float]]:
    return grouped.group_by("group", "model").agg(pl.col("score").mean()).iter_rows()
