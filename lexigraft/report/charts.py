"""Charts of the report as Vega-Lite specifications (Altair), drawn in the browser by the bundle inside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from lexigraft.report.inputs import Model, labels
from lexigraft.report.tables import Column
from lexigraft.token_maps.token_map import ORIGINS

Spec = dict[str, Any]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Helvetica Neue', Arial, sans-serif"
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""The version of Vega-Lite that specifications are written for, which the drawing code must be of."""
BASELINE = "#8a8f98"
PALETTE = ("#0077bb", "#ee7733", "#009988", "#ee3377", "#33bbee", "#cc3311", "#aa4499", "#999933")
"""Vibrant and muted colors of Paul Tol, safe for the color-blind, https://personal.sron.nl/~pault/."""
ORIGIN_COLOURS = dict(zip(ORIGINS, ("#0077bb", "#009988", "#c9b458", "#ee7733"), strict=True))
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4])
_RAMP = ("#f2f6fb", "#d3e3f2", "#a3c6e4", "#6aa2d2", "#3a7cb8", "#1d5796", "#0b2f5e")
_POINTS_A_CURVE = 300
_NUMBERED_MODELS, _NUMBERED_LANGUAGES = 10, 60


def method_colors(methods: Sequence[str]) -> dict[str, str]:
    """Color of each method: grey for `random`, the palette in order for the others."""
    names = list(dict.fromkeys(methods))
    others = [name for name in names if name != "random"]
    colors = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(others)}
    return {name: colors.get(name, BASELINE) for name in names}


DATA = alt.NamedData("data")
"""The data of most charts, by name: Altair would check every row of inline data against its schema."""


def finish(chart: alt.TopLevelMixin, data: Mapping[str, list[dict[str, Any]]], legend: Sequence[str] = ()) -> Spec:
    """The specification with its data and the look that all charts share, without the address of the schema.

    `data` are rows by the name that the chart calls them, see `rows_of`; `legend` are the labels of the longest legend, so
    that the page can cut it into columns.
    """
    spec: Spec = chart.to_dict()
    spec.pop("$schema", None)
    spec["datasets"] = dict(data)
    spec["background"] = None
    spec["usermeta"] = {"letters": max(map(len, legend), default=0)}
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["config"] = {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            **dict.fromkeys(("labelFontSize", "titleFontSize"), 11),
            "titleFontWeight": "normal",
            **dict.fromkeys(("labelColor", "titleColor"), "#444c56"),
            "gridColor": "#e4e7eb",
            **dict.fromkeys(("domainColor", "tickColor"), "#9aa1ab"),
            "labelPadding": 4,
        },
        "legend": {
            "orient": "top",
            "direction": "horizontal",
            "title": None,
            "labelFontSize": 11,
            "labelColor": "#444c56",
            "symbolStrokeWidth": 2,
            "labelLimit": 220,
            "columnPadding": 14,
            "offset": 8,
        },
        "text": {"font": FONT},
    }
    return spec


def rows_of(table: pl.DataFrame, digits: int = 4) -> list[dict[str, Any]]:
    """Rows for a chart: floats rounded, NaN and infinity as null (JSON has neither)."""
    floats = [name for name, dtype in table.schema.items() if dtype.is_float()]
    clean = table.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name).round(digits)).alias(name) for name in floats
    )
    return clean.to_dicts()


def heat_map(scores: pl.DataFrame, models: Mapping[str, Model], column: Column, highest: float) -> Spec:
    """Languages x models of one column of the score table: model, language, score; colors run from 0 to `highest`.

    With many models cells are too narrow for their numbers, with many languages too low: the tables have them.
    """
    short = labels(models)
    present = [name for name in models if name in set(scores["model"])]
    names = [short[name] for name in present]
    # the same rounding as in the tables: JavaScript rounds ties differently
    label = pl.col("score").map_elements(column.text, return_dtype=pl.String).alias("label")
    table = scores.select(pl.col("model").replace_strict(short, return_dtype=pl.String), "language", "score", "n", label)
    crowded = sum(map(len, names)) > 34
    x = alt.X("model:N", sort=names, title=None).axis(
        orient="top", labelAngle=-40 if crowded else 0, domain=False, ticks=False, labelLimit=200
    )
    languages = scores["language"].unique(maintain_order=True).to_list()
    spacious = len(names) <= _NUMBERED_MODELS and len(languages) <= _NUMBERED_LANGUAGES
    low = len(languages) > _NUMBERED_LANGUAGES
    axis = alt.Axis(domain=False, ticks=False, labelFontSize=9 if low else 11, labelOverlap=False)
    y = alt.Y("language:N", sort=languages, title=None, axis=axis)
    base = alt.Chart(DATA).encode(x=x, y=y)
    # the better, the darker
    colors = list(reversed(_RAMP)) if column.lower_is_better else list(_RAMP)
    scale = alt.Scale(domain=[0, highest], range=colors, interpolate="lab")
    cells = base.mark_rect(stroke="white", strokeWidth=1).encode(
        color=alt.Color("score:Q", scale=scale, legend=None),
        tooltip=[
            "language:N",
            "model:N",
            alt.Tooltip("label:N", title=column.name if column.lower_is_better else "percent"),
            alt.Tooltip("n:Q", title=column.unit),
        ],
    )
    dark = f"datum.score {'<' if column.lower_is_better else '>'} {highest * 0.5:.4f}"
    color = alt.condition(dark, alt.value("#ffffff"), alt.value("#1d2a3a"))
    numbers = base.mark_text(fontSize=11, tooltip=None).encode(text="label:N", color=color)
    height = (11 if low else 22) * len(languages)
    chart = alt.layer(cells, *([numbers] if spacious else [])).properties(width="container", height=height)
    if spacious:
        return finish(chart, {"data": rows_of(table, 3 if column.lower_is_better else 2)})
    # tens of thousands of cells: the page makes rows of the matrix, and draws it when it comes into sight
    spec = finish(chart, {"data": []})
    digits = 3 if column.lower_is_better else 1
    cells = table.select("language", "model", "score").iter_rows()
    value = {(language, name): round(score, digits) for language, name, score in cells}
    size = dict(table.select("language", "n").iter_rows())
    spec["usermeta"]["matrix"] = {
        "languages": languages,
        "models": names,
        "n": [size[language] for language in languages],
        "score": [[value.get((language, name)) for name in names] for language in languages],
        "digits": digits,
    }
    return spec


def origin_bars(counts: pl.DataFrame, models: Mapping[str, Model]) -> Spec:
    """Stacked bars of token counts by origin: model, origin, tokens; each bar is as long as the vocabulary."""
    short = labels(models)
    names = [short[name] for name in models if name in set(counts["model"])]
    total = pl.col("tokens").sum().over("model")
    table = counts.select(
        pl.col("model").replace_strict(short, return_dtype=pl.String),
        "origin",
        "tokens",
        (pl.col("tokens") / total).alias("share"),
        pl.col("origin").replace_strict({name: place for place, name in enumerate(ORIGINS)}).alias("place"),
    )
    chart = (
        alt.Chart(DATA)
        .mark_bar(height={"band": 0.72})
        .encode(
            x=alt.X("tokens:Q", title="tokens", stack="zero").axis(format="~s", tickCount=6),
            y=alt.Y("model:N", sort=names, title=None).axis(ticks=False, domain=False),
            color=alt.Color("origin:N", scale=alt.Scale(domain=list(ORIGINS), range=list(ORIGIN_COLOURS.values()))),
            order=alt.Order("place:Q"),
            tooltip=["model:N", "origin:N", alt.Tooltip("tokens:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width="container", height=30 * len(names))
    )
    return finish(chart, {"data": rows_of(table)}, ORIGINS)


def pretraining_curves(history: pl.DataFrame, models: Mapping[str, Model], title: str) -> Spec:
    """Loss of continual pre-training: model, step, tokens, loss; a line per model, means of bins where there are many steps.

    The page can put tokens in the place of steps, as `usermeta` says.
    """
    short = labels(models)
    present = [name for name in models if name in set(history["model"])]
    parts = [thinned(history.filter(pl.col("model") == name), "step") for name in present]
    table = pl.concat(parts).with_columns(pl.col("model").replace_strict(short, return_dtype=pl.String))
    colors = method_colors([model.method for model in models.values()])
    kinds = list(dict.fromkeys(f"{model.source}-{model.dim}" for model in models.values()))
    dashes = [DASHES[kinds.index(f"{models[name].source}-{models[name].dim}") % len(DASHES)] for name in present]
    domain = [short[name] for name in present]
    chart = (
        alt.Chart(DATA)
        .mark_line(strokeWidth=1.8, point=bool(max(map(len, parts)) <= 12))
        .encode(
            x=alt.X("step:Q", title="optimizer step").axis(grid=False, tickCount=8),
            y=alt.Y("loss:Q", title=title).scale(zero=False),
            color=alt.Color("model:N").scale(domain=domain, range=[colors[models[name].method] for name in present]),
            strokeDash=alt.StrokeDash("model:N").scale(domain=domain, range=dashes),
            tooltip=["model:N", "step:Q", alt.Tooltip("loss:Q", format=".3f"), alt.Tooltip("tokens:Q", format=",")],
        )
        .properties(width="container", height=320)
    )
    spec = finish(chart, {"data": rows_of(table)}, domain)
    spec["usermeta"]["x"] = {"step": "optimizer step", "tokens": "tokens seen"}
    return spec


def hypernetwork_curves(history: pl.DataFrame, column: str, title: str) -> Spec:
    """One column of histories by epoch: name, epoch, split, and `column`; a color per network, solid lines for validation."""
    names = history["name"].unique(maintain_order=True).to_list()
    splits = history["split"].unique(maintain_order=True).to_list()
    parts = [thinned(part, "epoch") for part in history.partition_by("name", "split", maintain_order=True)]
    table = pl.concat(parts).select("name", "epoch", "split", pl.col(column).alias("value"))
    dashes = [DASHES[0] if split == "validation" else DASHES[2] for split in splits]
    chart = (
        alt.Chart(DATA)
        .mark_line(strokeWidth=1.8, point=bool(max(map(len, parts)) <= 12))
        .encode(
            x=alt.X("epoch:Q", title="epoch").axis(grid=False, tickMinStep=1),
            y=alt.Y("value:Q", title=title).scale(zero=False),
            color=alt.Color("name:N").scale(domain=names, range=[PALETTE[place % len(PALETTE)] for place in range(len(names))]),
            strokeDash=alt.StrokeDash("split:N", legend=None).scale(domain=splits, range=dashes),
            tooltip=["name:N", "split:N", "epoch:Q", alt.Tooltip("value:Q", format=".4f", title=title)],
        )
        .properties(width="container", height=260)
    )
    return finish(chart, {"data": rows_of(table)}, names)


def thinned(history: pl.DataFrame, by: str, points: int = _POINTS_A_CURVE) -> pl.DataFrame:
    """At most `points` rows: rows in order of `by` are cut into equal bins; numbers become the means of their bins."""
    history = history.sort(by)
    if len(history) <= points:
        return history
    bins = pl.Series("bin", np.arange(len(history)) * points // len(history))
    means = [pl.col(name).mean() if dtype.is_numeric() else pl.col(name).first() for name, dtype in history.schema.items()]
    thin = history.with_columns(bins).group_by("bin", maintain_order=True).agg(means).drop("bin")
    whole = [name for name, dtype in history.schema.items() if dtype.is_integer()]
    return thin.with_columns(pl.col(name).round().cast(history.schema[name]) for name in whole)
