"""A static picture of the scores for a README: bars of each method before and after continual pre-training, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from lexigraft.artifacts import atomic_file, read_table, write_text
from lexigraft.errors import InputError
from lexigraft.evaluation.scores import with_intervals
from lexigraft.report.charts import DATA, FONT, VEGA_LITE, Spec, rows_of
from lexigraft.report.inputs import Model, labels, model_of
from lexigraft.report.tables import columns_of

_WIDTH = 800
_COLOURS = ("#b5d1ea", "#5b9bd1", "#2f6ea8", "#8fb8dc")
_SCALE_OF_PNG = 2


def write_picture(scores: Path, intervals: Path, out: Path, *, task: str | None = None, title: str | None = None) -> None:
    """Draw the mean score of every model of a task at every step with its 95 % interval, on white, 800 pixels wide.

    Args:
        scores: `scores.parquet`.
        intervals: `intervals.parquet`.
        out: an `.svg` or `.png` file (PNG in twice the resolution).
        task: which task; the first by default.
        title: of the picture; by default it names task, metric and number of languages.

    Raises:
        InputError: the file is neither SVG nor PNG, or the run has no such task, or its scores are no percentages.
        ArtifactError: a table is missing or damaged.
    """
    check_kind(out)
    table = read_table(scores, "scores")
    wanted = task or str(table["task"][0])
    columns = [column for column in columns_of(table) if column.task == wanted]
    if not columns or columns[0].lower_is_better:
        there = ", ".join(sorted(set(table["task"])))
        raise InputError(f"no task {wanted!r} with scores in percent; there are {there}", where=scores)
    chosen = table.filter(pl.col("task") == wanted)
    means = with_intervals(chosen, read_table(intervals, "significance"))
    models = {row["model"]: model_of(row) for row in chosen.unique("model", maintain_order=True).iter_rows(named=True)}
    languages = chosen["language"].n_unique()
    usual = f"{wanted}: {columns[0].name} in percent, mean over {languages} languages, 95 % interval"
    draw(picture(means, models, title or usual), out)


def check_kind(out: Path) -> None:
    """Raise InputError for a file that is neither SVG nor PNG."""
    if out.suffix not in (".svg", ".png"):
        raise InputError("a picture is .svg or .png", where=out)


def draw(spec: Spec, out: Path) -> None:
    """Write a specification with its data as SVG, or as PNG in twice the resolution."""
    if out.suffix == ".svg":
        write_text(out, vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE) + "\n")
    else:
        with atomic_file(out) as handle:
            handle.write(vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=_SCALE_OF_PNG))


def picture(means: pl.DataFrame, models: Mapping[str, Model], title: str) -> Spec:
    """Grouped horizontal bars: model, step, mean, low, high (percent)."""
    short = labels(models)
    steps = sorted(set(means["step"]))
    names = {step: "initialized (step 0)" if step == 0 else f"after {step:,} steps of pre-training" for step in steps}
    table = means.select(
        pl.col("model").replace_strict(short, return_dtype=pl.String),
        pl.col("step").replace_strict(names, return_dtype=pl.String).alias("when"),
        "mean",
        # the same rounding as in the tables: JavaScript rounds ties differently
        pl.col("mean").map_elements("{:.1f}".format, return_dtype=pl.String).alias("label"),
        "low",
        "high",
    )
    rows = alt.Y("model:N", sort=[short[name] for name in models], title=None).axis(ticks=False, domain=False, labelPadding=10)
    offset = alt.YOffset("when:N", sort=list(names.values()))
    # room for the number to the right of the longest whisker
    highest = float(means.select(pl.col("high").max()).item()) * 1.12
    across = alt.Scale(domain=[0, highest], nice=False)
    base = alt.Chart(DATA).encode(y=rows, yOffset=offset)
    colors = alt.Scale(domain=list(names.values()), range=[_COLOURS[place % len(_COLOURS)] for place in range(len(steps))])
    bars = base.mark_bar().encode(
        x=alt.X("mean:Q", title=None, scale=across).axis(tickCount=6),
        color=alt.Color("when:N", scale=colors, title=None),
    )
    whiskers = base.mark_rule(color="#1d2430", strokeWidth=1.4).encode(x=alt.X("low:Q", scale=across), x2="high:Q")
    ticks = base.mark_tick(color="#1d2430", thickness=1.4, height=9, opacity=1)
    ends = [ticks.encode(x=alt.X(f"{end}:Q", scale=across)) for end in ("low", "high")]
    numbers = base.mark_text(align="left", dx=7, fontSize=13, color="#1d2430")
    numbers = numbers.encode(x=alt.X("high:Q", scale=across), text="label:N")
    chart = alt.layer(bars, whiskers, *ends, numbers).properties(
        width=_WIDTH, height=len(models) * (18 + 24 * len(steps)), title=alt.TitleParams(title, anchor="start", offset=14)
    )
    spec: Spec = chart.to_dict()
    spec["datasets"] = {"data": rows_of(table, 2)}
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec |= static_look()
    spec["config"] |= {
        "axisY": {"grid": False, "labelFontWeight": 600},
        "axisX": {"labelFontSize": 12},
        "scale": {"bandWithNestedOffsetPaddingInner": 0.28, "offsetBandPaddingInner": 0.08},
    }
    return spec


def static_look() -> Spec:
    """What pictures outside of the report share: white ground, and large letters."""
    grey = "#9aa1ab"
    axis = {"labelFontSize": 14, "labelColor": "#1d2430", "gridColor": "#e4e7eb", "domainColor": grey, "tickColor": grey}
    config = {
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "title": {"fontSize": 15, "fontWeight": 600, "color": "#1d2430", "frame": "bounds"},
        "legend": {"orient": "bottom", "labelFontSize": 13, "labelColor": "#1d2430", "labelLimit": 320, "offset": 10},
    }
    return {"background": "white", "padding": 16, "config": config}
