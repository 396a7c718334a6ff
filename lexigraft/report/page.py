"""The report: one HTML file with its styles, data and drawing code inside, which opens without a connection."""

from __future__ import annotations

import json
import logging
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

from lexigraft.artifacts import read_table, sealed_page, write_text
from lexigraft.report.charts import ORIGIN_COLOURS, VEGA_LITE, Spec, heat_map, method_colors, origin_bars
from lexigraft.report.comparison import comparisons
from lexigraft.report.embedding_map import embedding_maps
from lexigraft.report.inputs import Model, ReportInputs, labels
from lexigraft.report.language_tables import group_table, language_table
from lexigraft.report.main_table import main_table
from lexigraft.report.networks import curves, kept_epochs, read_histories, read_quality
from lexigraft.report.origins import long, read_origins
from lexigraft.report.tables import by_seed_group, columns_of, configuration_sections, corpus_table, of_column, other_metrics
from lexigraft.report.training import fertility_tables, held_out, loss_figure

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PACKAGES = ("lexigraft", "torch", "transformers", "tokenizers", "numpy", "polars")


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart of the page: its id in the page's data, what it shows, and a heading where there are several."""

    id: str
    label: str
    title: str = ""


class _Charts(dict[str, Spec]):
    """Charts collected for the page: specifications by id."""

    def add(self, id: str, spec: Spec, label: str, title: str = "") -> Figure:
        self[id] = spec
        return Figure(id, label, title)


def write_report(inputs: ReportInputs, out: Path) -> None:
    """Write the report of a run as one self-contained HTML file. The same inputs give the same bytes.

    Raises:
        ArtifactError: an artifact is missing, damaged, or does not belong with the others.
    """
    models = inputs.models()
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("template.html").render(**_page(inputs, models))
    write_text(out, sealed_page(text))
    log.info("report of %d models: %s, %.2f MB", len(models), out, len(text.encode()) / 1e6)


def _page(inputs: ReportInputs, models: dict[str, Model]) -> dict[str, Any]:
    scores = read_table(inputs.scores, "scores").filter(pl.col("model").is_in(list(models)))
    columns, names = columns_of(scores), labels(models)
    charts = _Charts()
    made = read_origins(inputs.token_origins, models)
    test = {name: read_table(path, "corpus", ["language", "text"]) for name, path in inputs.test_sentences.items()}
    counts = {name: corpus_table(name, read_table(path, "corpus"), test.get(name)) for name, path in inputs.corpora.items()}
    used, known = other_metrics(scores, models)
    intervals, tests = (read_table(path, "significance") for path in (inputs.intervals, inputs.comparisons))
    averaged, seed_groups = by_seed_group(scores, models)
    table = main_table(scores, intervals, tests, models)
    settings = table.settings.values()
    # YAML's safe writer knows plain types only, and a workflow engine's strings are often of its own
    plain = json.loads(json.dumps(inputs.configuration))
    sources = inputs.configuration.get("sources") or {}
    seen = {name: source["languages"] for name, source in sources.items() if source.get("languages")}
    history = read_histories(inputs.hypernetworks) if inputs.hypernetworks else None
    networks = curves(history) if history is not None else {}
    losses = held_out(inputs.held_out, models)
    trained = None
    if inputs.pretraining:
        trained = charts.add("pretraining", loss_figure(inputs.pretraining, models), "Loss of continual pre-training")
    return {
        "run": inputs.run,
        "seed": inputs.seed,
        "models": models,
        "labels": names,
        "short": labels(seed_groups),
        "colors": method_colors([model.method for model in models.values()]),
        "origin_colors": ORIGIN_COLOURS,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "configuration": configuration_sections(inputs.configuration),
        "configuration_text": yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100),
        "corpora": counts,
        "table": table,
        "notes": inputs.notes,
        "paper": comparisons(scores),
        "language_tables": [language_table(averaged, intervals, tests, column, models, settings) for column in columns],
        "group_tables": [group_table(averaged, column, seed_groups, seen) for column in columns],
        "metric_columns": used,
        "metric_scores": known,
        "heat_maps": _heat_maps(averaged, seed_groups, charts),
        "origins": made,
        "origin_figure": charts.add("origins", origin_bars(long(made), models), "Tokens by origin") if made else None,
        "embedding_figures": [
            charts.add(f"embeddings-{place}", spec, f"Source and target embeddings of {name}", names[name])
            for place, (name, spec) in enumerate(embedding_maps(inputs, models).items())
        ],
        "hypernetwork_figures": [
            charts.add(f"hypernetwork-{column}", spec, f"{title} of hypernetworks by epoch", title)
            for column, (spec, title) in networks.items()
        ],
        "hypernetworks": kept_epochs(history) if history is not None else [],
        "quality": read_quality(inputs.quality),
        "pretraining_figure": trained,
        "held_out": losses,
        "held_out_figure": charts.add("held-out", losses.spec, "Held-out loss by language") if losses else None,
        "fertility": fertility_tables(inputs.fertility),
        "style": Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        "script": _inline("\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("tables.js", "page.js"))),
        "bundle": _inline(_drawing_code()),
        "charts": as_json(charts),
    }


def _heat_maps(scores: pl.DataFrame, models: dict[str, Model], charts: _Charts) -> list[Figure]:
    figures = []
    for place, column in enumerate(columns_of(scores)):
        alike = scores.filter(pl.col("task") == column.task, pl.col("metric") == column.metric)
        highest = float(alike.select(pl.col("score").max()).item())
        title = f"{column.task}, {column.name}, step {column.step:,}"
        spec = heat_map(of_column(scores, column), models, column, max(highest, 1.0))
        figures.append(charts.add(f"languages-{place}", spec, f"Heat map of languages by models: {title}", title))
    return figures


def as_json(value: object) -> Markup:
    """JSON for the inside of a script element: no `<`, `>` or `&` that could end it, no NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _inline(script: str) -> Markup:
    """JavaScript for the inside of a script element."""
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
