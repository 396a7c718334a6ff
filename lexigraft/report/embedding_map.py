"""The picture of source and initialized target embeddings: which tokens are shown, where they stand, and what is near them."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from lexigraft.artifacts import read_table
from lexigraft.errors import ArtifactError
from lexigraft.factors.tables import EmbeddingTable, read_embedding_table
from lexigraft.report.charts import Spec, finish, rows_of
from lexigraft.report.inputs import Model, ReportInputs
from lexigraft.report.neighbor_map import NeighborMap, make_map
from lexigraft.token_maps.explaining import made_of
from lexigraft.token_maps.nearest import nearest_tokens
from lexigraft.tokenizers.vocabulary import Vocabulary, read_vocabulary

log = logging.getLogger(__name__)

SOURCE_TOKENS = 700
TARGET_TOKENS_A_SCRIPT = 120
SCRIPTS = 7
_LABELLED_SOURCE = 26
_LABELLED_TARGET = 14
_LABEL_CANDIDATES = 12
_SPACING = (0.34, 0.07)
_FEWEST_WORDS = 3
_CHART_WIDTH = 480
_SCRIPT_COLOURS = ("#0077bb", "#ee7733", "#009988", "#ee3377", "#aa4499", "#999933", "#33bbee")
_SCRIPT_NAMES = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"}
_DENSE_SCRIPTS = frozenset({"Han", "Kana", "Hangul"})


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens of the picture.

    Attributes:
        ids: (n,) token ids, most frequent first within each script.
        words: their surfaces, without spaces around.
        scripts: their scripts.
        label_order: (n,) int64: tokens are written out in this order as far as there is room; 0 for the others.
    """

    ids: NDArray[np.int64]
    words: list[str]
    scripts: list[str]
    label_order: NDArray[np.int64]


def embedding_maps(inputs: ReportInputs, models: Mapping[str, Model]) -> dict[str, Spec]:
    """A chart for every model with weights, by name. Models that share factors share the map of the source.

    Of models that differ in their seed only, the first is pictured. A model whose source or target vocabulary has fewer than
    three words of letters has no picture.

    Raises:
        ArtifactError: a file is damaged, or vocabulary and embeddings do not belong together.
    """
    samples: dict[str, Sample] = {}
    maps: dict[Path, _Source] = {}
    specs: dict[str, Spec] = {}
    seed_groups: set[str] = set()
    for name, model in models.items():
        if name not in inputs.weights or model.seed_group in seed_groups:
            continue
        seed_groups.add(model.seed_group)
        if model.target not in samples:
            samples[model.target] = target_sample(read_vocabulary(inputs.target_vocabularies[model.target]))
        path = inputs.factors[name]
        if path not in maps:
            maps[path] = _read_source(path, inputs.source_vocabularies[model.source])
        if min(len(maps[path].sample.ids), len(samples[model.target].ids)) < _FEWEST_WORDS:
            log.info("no picture of the embeddings of %s: too few words of letters", name)
            continue
        table = _places(inputs.weights[name], inputs.tokens[name], samples[model.target], maps[path])
        shown = (name, len(table), len(maps[path].sample.ids))
        log.info("embeddings of %s: %d target tokens on a map of %d source tokens", *shown)
        specs[name] = chart(maps[path].table, table)
    return specs


@dataclass(frozen=True, slots=True)
class _Source:
    vocabulary: Vocabulary
    values: EmbeddingTable
    sample: Sample
    places: NeighborMap
    table: pl.DataFrame


def _read_source(factors: Path, vocabulary_path: Path) -> _Source:
    vocabulary = read_vocabulary(vocabulary_path)
    values = read_embedding_table(factors)
    if len(values.rows) < len(vocabulary):
        raise ArtifactError(
            f"{len(vocabulary)} tokens but {len(values.rows)} embedding rows",
            where=f"{vocabulary_path}, {factors}",
            hint="delete both and run snakemake again",
        )
    sample = source_sample(vocabulary)
    rows = values.embeddings(sample.ids)
    places = make_map(rows) if len(rows) >= _FEWEST_WORDS else NeighborMap(np.zeros(0), rows, np.zeros((len(rows), 2)))
    labeled = spaced(places.places, np.arange(1, len(sample.ids) + 1), _LABELLED_SOURCE)
    table = pl.DataFrame({"word": sample.words, "x": places.places[:, 0], "y": places.places[:, 1], "labeled": labeled})
    return _Source(vocabulary, values, sample, places, table)


def _places(weights: Path, tokens: Path, sample: Sample, source: _Source) -> pl.DataFrame:
    """Where a model's sampled tokens stand, how each was made, and the source tokens nearest to it."""
    own = read_embedding_table(weights)
    columns = ["id", "origin", "source_surfaces", "weights", "dense"]
    made = read_table(tokens, "initialized_model", columns).sort("id")
    if len(made) > len(own.rows) or len(made) <= int(sample.ids.max(initial=0)):
        raise ArtifactError(
            f"{len(made)} tokens, {len(own.rows)} embedding rows, but the vocabulary has token {sample.ids.max(initial=0)}",
            where=f"{tokens}, {weights}",
            hint="delete both and run snakemake again",
        )
    rows = own.embeddings(sample.ids)
    places = source.places.place(rows)
    candidates = np.flatnonzero(source.vocabulary.is_text)
    ids, cosines = nearest_tokens(rows, source.values, candidates, source.places.mean)
    near = [
        ", ".join(f"{source.vocabulary.surfaces[token].strip()} {cosine:.2f}" for token, cosine in zip(*pair, strict=True))
        for pair in zip(ids.tolist(), cosines.tolist(), strict=True)
    ]
    made = made[sample.ids]
    origins = made["origin"]
    parts = [made_of(*part) for part in made.select("origin", "source_surfaces", "weights", "dense").iter_rows()]
    # a copied token stands on its own source token, which tells a reader nothing
    wanted = np.where((origins != "copied").to_numpy(), sample.label_order, 0)
    shown = {"word": sample.words, "script": sample.scripts, "origin": origins, "made_of": parts, "nearest": near}
    labeled = spaced(places, wanted, _LABELLED_TARGET)
    return pl.DataFrame({**shown, "x": places[:, 0], "y": places[:, 1], "labeled": labeled})


def source_sample(vocabulary: Vocabulary, count: int = SOURCE_TOKENS) -> Sample:
    """The most frequent whole words of the source vocabulary; evenly spaced ids where its tokens were not counted.

    Whole words start with a space in their surface. Tokenizers that mark no word starts give any word of letters.
    """
    words = np.array([is_word(surface, 3) for surface in vocabulary.surfaces]) & vocabulary.is_text
    starts = words & np.array([surface.startswith(" ") for surface in vocabulary.surfaces])
    ids = np.flatnonzero(starts if starts.sum() >= min(count, words.sum()) / 2 else words)
    if vocabulary.counts[ids].any():
        ids = ids[np.argsort(-vocabulary.counts[ids], kind="stable")][:count]
    elif len(ids) > count:
        ids = ids[np.linspace(0, len(ids) - 1, count).round().astype(np.int64)]
    surfaces = [vocabulary.surfaces[token].strip() for token in ids]
    return Sample(ids, surfaces, list(map(script_of, surfaces)), np.zeros(len(ids), dtype=np.int64))


def target_sample(vocabulary: Vocabulary, count: int = TARGET_TOKENS_A_SCRIPT, scripts: int = SCRIPTS) -> Sample:
    """The most frequent words of letters in each of the most frequent scripts of the target vocabulary.

    The longest of the frequent ones of each script come first to be labeled, scripts in turn: they tell the most to a reader,
    and no model chose them.
    """
    ids = [token for token in np.flatnonzero(vocabulary.is_text).tolist() if is_word(vocabulary.surfaces[token], 2)]
    table = pl.DataFrame(
        {
            "id": pl.Series(ids, dtype=pl.Int64),
            "word": pl.Series([vocabulary.surfaces[token].strip() for token in ids], dtype=pl.String),
            "whole": pl.Series([vocabulary.surfaces[token].startswith(" ") for token in ids], dtype=pl.Boolean),
            "count": pl.Series(vocabulary.counts[ids], dtype=pl.Int64),
        }
    )
    table = table.with_columns(pl.col("word").map_elements(script_of, return_dtype=pl.String).alias("script"))
    sizes = table.group_by("script").agg(pl.col("count").sum().alias("total"), pl.len().alias("tokens"))
    largest = sizes.sort(["total", "tokens", "script"], descending=[True, True, False])["script"].head(scripts).to_list()
    rank = {script: place for place, script in enumerate(largest)}
    table = table.filter(pl.col("script").is_in(largest)).with_columns(pl.col("script").replace_strict(rank).alias("place"))
    table = table.sort(["place", "count", "id"], descending=[False, True, False])
    table = table.group_by("place", maintain_order=True).head(count)
    length = pl.col("word").str.len_chars().cast(pl.Int64).clip(upper_bound=7)
    order = pl.struct(-pl.col("whole").cast(pl.Int64), -length, -pl.col("count"), pl.col("id"))
    table = table.with_columns(order.rank("ordinal").over("place").alias("turn"))
    turns = pl.when(pl.col("turn") <= _LABEL_CANDIDATES).then(pl.col("turn") * scripts + pl.col("place")).otherwise(0)
    label_order = table.select(turns.cast(pl.Int64)).to_series().to_numpy()
    return Sample(table["id"].to_numpy(), table["word"].to_list(), table["script"].to_list(), label_order)


def is_word(surface: str, letters: int) -> bool:
    """Whether a surface is letters only, at least so many (one in scripts whose characters are words or syllables)."""
    text = surface.strip()
    plain = bool(text) and all(unicodedata.category(character)[0] in "LM" for character in text)
    return plain and (len(text) >= letters or script_of(text) in _DENSE_SCRIPTS)


def script_of(text: str) -> str:
    """Script of a text by the Unicode name of its first letter: Latin, Cyrillic, Arabic, Hangul, Han, Kana, …"""
    name = unicodedata.name(text[:1], "Other").split()[0]
    return _SCRIPT_NAMES.get(name, name.title())


def spaced(places: NDArray[np.float64], order: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """(n,) bool: the first `count` places by rising `order` (0: never) whose labels, wider than high, do not touch."""
    chosen: list[int] = []
    for index in np.argsort(order, kind="stable")[np.sum(order == 0) :].tolist():
        gaps = np.abs(places[chosen] - places[index]) if chosen else np.ones((1, 2))
        if np.all((gaps[:, 0] > _SPACING[0]) | (gaps[:, 1] > _SPACING[1])):
            chosen.append(index)
        if len(chosen) == count:
            break
    mask = np.zeros(len(places), dtype=bool)
    mask[chosen] = True
    return mask


def chart(source: pl.DataFrame, target: pl.DataFrame) -> Spec:
    """Source tokens in grey under target tokens in the color of their script, with a few of both written out."""
    scripts = target["script"].unique(maintain_order=True).to_list()
    reach = {axis: float(source.select(pl.col(axis).abs().max()).item()) + 0.06 for axis in "xy"}
    x, y = (
        kind(f"{axis}:Q", axis=None, scale=alt.Scale(domain=[-reach[axis], reach[axis]], nice=False, zero=False))
        for axis, kind in (("x", alt.X), ("y", alt.Y))
    )
    height = int(np.clip(_CHART_WIDTH * reach["y"] / reach["x"], 0.5 * _CHART_WIDTH, 1.3 * _CHART_WIDTH))
    color = alt.Color("script:N", scale=alt.Scale(domain=scripts, range=list(_SCRIPT_COLOURS[: len(scripts)])))
    made = [origin for origin in ("copied", "computed", "mean", "random") if origin in set(target["origin"])]
    below, above = alt.NamedData("source"), alt.NamedData("target")
    shape = alt.Shape("origin:N", scale=alt.Scale(domain=made, range=[_SHAPES[origin] for origin in made]), legend=None)
    titles = {"word": "target token", "made_of": "made of", "nearest": "nearest source tokens"}
    word, *others = (alt.Tooltip(f"{name}:N", title=title) for name, title in titles.items())
    layers = [
        alt.Chart(below)
        .mark_circle(size=12, color="#9aa1ab", opacity=0.45)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("word:N", title="source token")]),
        alt.Chart(above)
        .mark_point(size=24, filled=True, opacity=0.75, strokeWidth=0)
        .encode(x=x, y=y, color=color, shape=shape, tooltip=[word, "script:N", "origin:N", *others]),
        alt.Chart(below)
        .transform_filter("datum.labeled")
        .mark_text(fontSize=10.5, dy=9, color="#6b7280")
        .encode(x=x, y=y, text="word:N"),
        alt.Chart(above)
        .transform_filter("datum.labeled")
        .mark_text(fontSize=12, dy=-8, fontWeight="bold")
        .encode(x=x, y=y, text="word:N", color=color),
    ]
    drawn = alt.layer(*layers).properties(width="container", height=height)
    return finish(drawn, {"source": rows_of(source, 3), "target": rows_of(target, 3)}, scripts)


_SHAPES = {"copied": "square", "computed": "circle", "mean": "triangle-up", "random": "diamond"}
