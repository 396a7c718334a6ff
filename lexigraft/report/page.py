"""The report: one HTML file with its styles, data and drawing code inside, which opens without a connection."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lexigraft.artifacts import read_table, write_text
from lexigraft.report.charts import (
    ORIGIN_COLOURS,
    VEGA_LITE,
    Spec,
    heat_map,
    hypernetwork_curves,
    method_colours,
    origin_bars,
    pretraining_curves,
)
from lexigraft.report.embedding_map import embedding_maps
from lexigraft.report.inputs import Model, ReportInputs, labels
from lexigraft.report.tables import (
    columns_of,
    configuration_sections,
    corpus_table,
    language_table,
    of_column,
    origin_counts,
    other_metrics,
    score_table,
)

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PACKAGES = ("lexigraft", "torch", "transformers", "tokenizers", "numpy", "polars")


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart of the page: its id in the page's data, what it shows, and a heading where several stand side by side."""

    id: str
    label: str
    title: str = ""


class _Charts:
    """Charts collected for the page: specifications by id."""

    def __init__(self) -> None:
        self.specs: dict[str, Spec] = {}

    def add(self, id: str, spec: Spec, label: str, title: str = "") -> Figure:
        self.specs[id] = spec
        return Figure(id, label, title)


def write_report(inputs: ReportInputs, out: Path) -> None:
    """Write the report of a run as one self-contained HTML file. The same inputs give the same bytes.

    Raises:
        ValueError: the inputs do not fit each other (see `ReportInputs.models`).
        ArtifactError: an artifact is missing, damaged, or does not belong with the others.
        InputError: see `scores.read_ranks`.
    """
    models = inputs.models()
    page = _page(inputs, models)
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("template.html").render(**page)
    write_text(out, text)
    log.info("report of %d models: %s, %.2f MB", len(models), out, len(text.encode()) / 1e6)


def _page(inputs: ReportInputs, models: dict[str, Model]) -> dict[str, Any]:
    scores = read_table(inputs.scores, "scores").filter(pl.col("model").is_in(list(models)))
    columns = columns_of(scores)
    charts = _Charts()
    made = origin_counts({name: read_table(path, "initialization", ["origin"]) for name, path in inputs.tokens.items()})
    counts = {name: corpus_table(name, read_table(path, "corpus")) for name, path in inputs.corpora.items()}
    used, known = other_metrics(scores, models)
    table = score_table(scores, inputs, models)
    leading = {comparison.column: comparison for comparison in reversed(table.comparisons)}
    return {
        "run": inputs.run,
        "seed": inputs.seed,
        "models": models,
        "labels": labels(models),
        "colours": method_colours([model.method for model in models.values()]),
        "origin_colours": ORIGIN_COLOURS,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "configuration": configuration_sections(inputs.configuration),
        "configuration_text": _as_yaml(inputs.configuration),
        "corpora": counts,
        "table": table,
        "leading": [leading[column] for column in columns if column in leading],
        "language_tables": [language_table(scores, column, models) for column in columns],
        "metric_columns": used,
        "metric_scores": known,
        "heat_maps": _heat_maps(scores, models, charts),
        "origins": _by_model(made),
        "origin_figure": None if made.is_empty() else charts.add("origins", origin_bars(made, models), "Tokens by origin"),
        "embedding_figures": _embedding_figures(inputs, models, charts),
        "hypernetwork_figures": _hypernetwork_figures(inputs, charts),
        "hypernetworks": _best_epochs(inputs),
        "pretraining_figure": _pretraining_figure(inputs, models, charts),
        "style": Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        "script": _inline((_HERE / "page.js").read_text(encoding="utf-8")),
        "bundle": _inline(_drawing_code()),
        "charts": as_json(charts.specs),
    }


def _heat_maps(scores: pl.DataFrame, models: dict[str, Model], charts: _Charts) -> list[Figure]:
    figures = []
    for place, column in enumerate(columns_of(scores)):
        alike = scores.filter(pl.col("task") == column.task, pl.col("metric") == column.metric)
        highest = float(alike.select(pl.col("score").max()).item())
        title = f"{column.task}, {column.name}, step {column.step:,}"
        spec = heat_map(of_column(scores, column), models, max(highest, 1.0))
        figures.append(charts.add(f"languages-{place}", spec, f"Heat map of languages by models: {title}", title))
    return figures


def _by_model(made: pl.DataFrame) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for model, origin, tokens in made.iter_rows():
        found.setdefault(model, {})[origin] = tokens
    return found


def _embedding_figures(inputs: ReportInputs, models: dict[str, Model], charts: _Charts) -> list[Figure]:
    short = labels(models)
    return [
        charts.add(f"embeddings-{place}", spec, f"Source and target embeddings of {name}", short[name])
        for place, (name, spec) in enumerate(embedding_maps(inputs, models).items())
    ]


def _histories(inputs: ReportInputs) -> pl.DataFrame:
    """Hypernetwork histories under one `name` each; the networks of an ensemble get a number."""
    parts = []
    for name, path in inputs.hypernetworks.items():
        history = read_table(path, "hypernetwork")
        label = pl.lit(name)
        if "network" in history.columns and history["network"].n_unique() > 1:
            label = pl.format("{} ({})", pl.lit(name), pl.col("network") + 1)
        parts.append(history.select(label.alias("name"), "epoch", "split", pl.col("loss", "cosine").fill_nan(None)))
    return pl.concat(parts, how="vertical_relaxed")


def _hypernetwork_figures(inputs: ReportInputs, charts: _Charts) -> list[Figure]:
    if not inputs.hypernetworks:
        return []
    history = _histories(inputs)
    cosine = history.filter(pl.col("split") == "validation")
    loss = hypernetwork_curves(history, "loss", "loss")
    figures = [charts.add("hypernetwork-loss", loss, "Hypernetwork loss by epoch", "Loss")]
    if not cosine.is_empty():
        spec = hypernetwork_curves(cosine, "cosine", "cosine")
        figures.append(charts.add("hypernetwork-cosine", spec, "Validation cosine by epoch", "Validation cosine"))
    return figures


def _best_epochs(inputs: ReportInputs) -> list[dict[str, Any]]:
    """Of every network the epoch whose weights were kept, the one that the test split was measured with."""
    if not inputs.hypernetworks:
        return []
    histories = _histories(inputs)
    kept = histories.filter(pl.col("split") == "test").select("name", "epoch").unique("name", keep="first")
    validation = histories.filter(pl.col("split") == "validation")
    best = kept.join(validation, on=["name", "epoch"], how="inner", maintain_order="left")
    last = histories.group_by("name", maintain_order=True).agg(pl.col("epoch").max().alias("epochs"))
    return last.join(best, on="name", how="inner", maintain_order="left").to_dicts()


def _pretraining_figure(inputs: ReportInputs, models: dict[str, Model], charts: _Charts) -> Figure | None:
    if not inputs.pretraining:
        return None
    wanted = [pl.col("step").cast(pl.Int64), pl.col("tokens").cast(pl.Int64), pl.col("loss").cast(pl.Float64)]
    parts = [
        read_table(path, "pretraining", ["step", "tokens", "loss"]).select(pl.lit(name).alias("model"), *wanted)
        for name, path in inputs.pretraining.items()
    ]
    return charts.add("pretraining", pretraining_curves(pl.concat(parts), models), "Loss of continual pre-training by step")


def as_json(value: object) -> Markup:
    """JSON that can stand inside a script element: no `<`, `>` or `&` that could end it, no NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _as_yaml(configuration: Mapping[str, Any]) -> str:
    # through JSON: YAML's safe writer knows plain types only, and a workflow engine's strings are often of its own
    plain = json.loads(json.dumps(configuration))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))


def _inline(script: str) -> Markup:
    """JavaScript that can stand inside a script element."""
    return Markup(script.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


@cache
def _drawing_code() -> str:
    """Vega-Embed, Vega-Lite and Vega of the specifications' version in one script, without a connection."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
