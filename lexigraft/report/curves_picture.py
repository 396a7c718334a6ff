"""A static picture of continual pre-training: held-out loss and the scores of a task, by step, of all models of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import altair as alt
import polars as pl

from lexigraft.artifacts import read_table
from lexigraft.errors import InputError, nearest
from lexigraft.evaluation.scores import seed_summary
from lexigraft.report.charts import DASHES, DATA, Spec, method_colors, rows_of
from lexigraft.report.inputs import Model, model_of
from lexigraft.report.readme_picture import check_kind, draw, static_look

_PANEL = {"width": 400, "height": 340}
_MOST_TICKS = 9


def write_curves(scores: Path, held_out: Mapping[str, Path], out: Path, *, task: str | None = None) -> None:
    """Draw the held-out loss and the score of a task by step: a line per seed group, with a band from lowest to highest seed.

    Args:
        scores: `scores.parquet`.
        held_out: model -> `pretraining_held_out.parquet`.
        out: an `.svg` or `.png` file (PNG in twice the resolution).
        task: which task; the first by default.

    Raises:
        InputError: the file is neither SVG nor PNG, there is no such task, or no model was pre-trained.
        ArtifactError: a table is missing or damaged.
    """
    check_kind(out)
    table = read_table(scores, "scores")
    wanted = task or str(table["task"][0])
    if wanted not in set(table["task"]):
        raise InputError(f"no scores of a task {wanted!r}; {nearest(wanted, sorted(set(table['task'])))}", where=scores)
    models = {row["model"]: model_of(row) for row in table.iter_rows(named=True) if row["model"] in held_out}
    if not models:
        raise InputError("no model of the run was pre-trained", where=scores, hint="give the configuration a `pretraining`")
    losses = pl.concat([_held_out_losses(held_out[name], model) for name, model in models.items()])
    groups = {model.seed_group for model in models.values()}
    scored = seed_summary(table).filter(pl.col("task") == wanted, pl.col("seed_group").is_in(groups))
    metric = scored["metric"][0].replace("_", "-")
    languages = table.filter(pl.col("task") == wanted)["language"].n_unique()
    titles = ("held-out loss, nats per token", f"{wanted} {metric}, mean of {languages} languages")
    tables = (over_seeds(losses), scored.select("seed_group", "step", "mean", "low", "high"))
    draw(curves(dict(zip(titles, tables, strict=True)), models), out)


def _held_out_losses(path: Path, model: Model) -> pl.DataFrame:
    """Mean over languages of a model's held-out losses: seed_group, step, loss."""
    table = read_table(path, "pretraining", ["step", "language", "loss"])
    means = table.group_by("step", maintain_order=True).agg(pl.col("loss").mean())
    return means.select(pl.lit(model.seed_group).alias("seed_group"), "step", "loss")


def over_seeds(losses: pl.DataFrame) -> pl.DataFrame:
    """Mean, lowest and highest over the seeds of each group: seed_group, step, mean, low, high."""
    ends = [pl.col("loss").min().alias("low"), pl.col("loss").max().alias("high")]
    return losses.group_by("seed_group", "step", maintain_order=True).agg(pl.col("loss").mean().alias("mean"), *ends)


def curves(panels: Mapping[str, pl.DataFrame], models: Mapping[str, Model]) -> Spec:
    """Panels side by side, each a title and its table of seed_group, step, mean, low and high."""
    groups = {model.seed_group: model for model in reversed(list(models.values()))}
    names = list(dict.fromkeys(model.seed_group for model in models.values()))
    colors = method_colors([groups[name].method for name in names])
    kinds = list(dict.fromkeys((groups[name].source, groups[name].dim) for name in names))
    dashes = [DASHES[kinds.index((groups[name].source, groups[name].dim)) % len(DASHES)] for name in names]
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1)  # of the lines, not of the bands
    color = alt.Color("seed_group:N", title=None, sort=names, legend=legend).scale(
        domain=names, range=[colors[groups[name].method] for name in names]
    )
    dash = alt.StrokeDash("seed_group:N", title=None, sort=names).scale(domain=names, range=dashes)
    # where all panels have a point; as many as a panel has room for
    shared = sorted(set.intersection(*(set(table["step"]) for table in panels.values())))
    ticks = alt.Axis(values=shared) if len(shared) < _MOST_TICKS else alt.Axis()
    drawn = []
    for title, table in panels.items():
        base = alt.Chart(DATA).transform_filter(alt.datum.panel == title).encode(x=alt.X("step:Q", title="step", axis=ticks))
        band = base.mark_area(opacity=0.25).encode(y=alt.Y("low:Q"), y2="high:Q", color=color)
        point = alt.OverlayMarkDef(size=22) if table["step"].n_unique() < _MOST_TICKS else False
        line = base.mark_line(strokeWidth=2, point=point).encode(
            y=alt.Y("mean:Q", title=None).scale(zero=False),
            color=color,
            strokeDash=dash,
        )
        drawn.append((band + line).properties(title=alt.TitleParams(title, anchor="start"), **_PANEL))
    spec: Spec = alt.hconcat(*drawn, spacing=36).to_dict()
    rows = pl.concat([table.with_columns(pl.lit(title).alias("panel")) for title, table in panels.items()])
    spec["datasets"] = {"data": rows_of(rows, 4)}
    spec |= static_look()
    spec["config"]["legend"] |= {"columns": 4, "symbolSize": 260, "symbolStrokeWidth": 2.5}
    return spec
