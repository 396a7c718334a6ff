"""A made-up run for tests of the report: its artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from ranks_cases import retrieval_tasks, run_row, write_ranks

from lexigraft.artifacts import Provenance, read_table, write_table, write_tensors
from lexigraft.evaluation.comparing import COMPARISONS
from lexigraft.evaluation.fertility import FERTILITY
from lexigraft.evaluation.intervals import INTERVALS
from lexigraft.evaluation.scores import write_scores
from lexigraft.evaluation.significance import write_statistics
from lexigraft.factors.tables import INPUT_TABLE
from lexigraft.hypernetwork.quality import SCHEMA as QUALITY
from lexigraft.report.inputs import ReportInputs
from lexigraft.report.page import write_report
from lexigraft.token_maps.origins import write_token_origins
from lexigraft.tokenizers.vocabulary import SCHEMA

LANGUAGES = ("tur_Latn", "fra_Latn", "kor_Hang", "arb_Arab", "rus_Cyrl")
SCORES = {"random": (0.05, 0.06), "ofa": (0.3, 0.33), "hyperofa": (0.29, 0.14), "graft": (0.6, 0.62)}
HOSTILE = (
    "</script><script>console.error('escaped')</script>",
    "<!--<script>",
    '"><img src=x onerror=console.error(1)>',
    "\u2028&amp;",
)
DIM, WIDTH, SOURCE_SIZE = 6, 10, 320


def vocabulary_table(tokens: list[str], surfaces: list[str], roles: list[str | None], counts: list[int]) -> pl.DataFrame:
    columns = {"id": range(len(tokens)), "token": tokens, "surface": surfaces, "role": roles, "count": counts}
    return pl.DataFrame(columns, schema=SCHEMA)


def made_up_words(generator: np.random.Generator, letters: str, count: int) -> list[str]:
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(generator.choice(list(letters), size=int(generator.integers(3, 8))))] = None
    return list(words)


def make_inputs(folder: Path) -> ReportInputs:
    """Four models at two steps, five languages in four scripts, and token strings that want out of the page."""
    generator = np.random.default_rng(7)
    ranks, rows = [], []
    hard = generator.normal(size=200)
    for method, shares in SCORES.items():
        for step, share in zip((0, 400), shares, strict=True):
            drawn = {language: np.exp(hard + generator.normal(size=200) + np.log(1 / share - 1)) * 10 for language in LANGUAGES}
            found = {language: [int(value) + 1 if value < 10 else None for value in of] for language, of in drawn.items()}
            ranks.append(write_ranks(folder / f"{method}-{step}.parquet", found))
            rows.append({**run_row(f"{method}-tiny-6", step, seed=1), "run": "try", "target": "bible-1k"})
    scored(folder, ranks, rows, seed=1)

    english = made_up_words(generator, "abdeilmnorstu", SOURCE_SIZE)
    surfaces = ["<s>", "</s>", "<unk>", *HOSTILE, *(f" {word}" for word in english)]
    roles: list[str | None] = ["bos", "eos", "unk", *[None] * (len(surfaces) - 3)]
    counts = [0] * 3 + [1] * len(HOSTILE) + list(range(2000, 2000 - len(english), -1))
    write_table(folder / "source.parquet", vocabulary_table(surfaces, surfaces, roles, counts), Provenance("source"))
    coordinates = generator.normal(size=(len(surfaces), DIM)).astype(np.float32)
    primitives = generator.normal(size=(DIM, WIDTH)).astype(np.float32)
    factors = {"coordinates": coordinates, "primitives": primitives, "singular_values": np.ones(DIM, dtype=np.float32)}
    write_tensors(folder / "factors.safetensors", factors, Provenance("factors"))

    scripts = {"Latin": "abcçdeéğ", "Hangul": "가나다라마바", "Arabic": "ابتثجح", "Cyrillic": "абвгдеж"}
    words = {script: made_up_words(generator, letters, 40) for script, letters in scripts.items()}
    target = ["<s>", "</s>", "<unk>", *HOSTILE, *english[:30], *(word for found in words.values() for word in found)]
    roles = ["bos", "eos", "unk", *[None] * (len(target) - 3)]
    counts = [0] * 3 + list(range(len(target) - 3, 0, -1))
    table = vocabulary_table(target, [f" {token}" for token in target], roles, counts)
    write_table(folder / "target.parquet", table, Provenance("tokenizer"))
    source_id = {surface.strip(): place for place, surface in enumerate(surfaces)}
    tokens, weights, pretraining, held_out = {}, {}, {}, {}
    for method, (share, _) in SCORES.items():
        model = f"{method}-tiny-6"
        copied = [source_id.get(token) for token in target]
        made = generator.choice(["computed", "mean", "random"], p=(0.8, 0.1, 0.1), size=len(target))
        origin = ["copied" if source is not None else str(how) for source, how in zip(copied, made, strict=True)]
        rows_of = generator.normal(size=(len(target), DIM)).astype(np.float32)
        for place, source in enumerate(copied):
            if source is not None:
                rows_of[place] = coordinates[source]
        rows_of[target.index(words["Hangul"][0])] = coordinates[3]  # nearest to the first hostile token
        columns = {"id": range(len(target)), "token": target, "surface": target, "origin": origin, "source_id": copied}
        parts = [[] if how in ("mean", "random") else ["one", "two"] for how in origin]
        weights_of = [[0.25, 0.75][: len(part)] for part in parts]
        columns |= {"source_surfaces": parts, "weights": weights_of, "dense": [False] * len(target)}
        tokens[model], weights[model] = folder / f"{method}-tokens.parquet", folder / f"{method}.safetensors"
        write_table(tokens[model], pl.DataFrame(columns), Provenance("initialized_model"))
        names = {"bert.embeddings.coordinates": rows_of, "bert.embeddings.primitives": primitives}
        tensors = {**names, "bert.pooler.weight": np.zeros((2, 2), np.float32)}
        write_tensors(weights[model], tensors, Provenance("initialized_model"), {INPUT_TABLE: list(names)})
        steps = np.arange(1, 401)
        history = {"step": steps, "tokens": steps * 512, "loss": 4 + 4 * np.exp(-steps / 80) + share}
        pretraining[model] = folder / f"{method}-history.parquet"
        more = {"learning_rate": 5e-5 * (1 - steps / 400), "gradient_norm": np.ones(400)}
        write_table(pretraining[model], pl.DataFrame({**history, **more}), Provenance("pretraining"))
        losses = [
            (step, step * 512, language, 5 + place + share - step / 400)
            for step in (0, 200, 400)
            for place, language in enumerate(LANGUAGES[:3])
        ]
        held_out[model] = folder / f"{method}-held-out.parquet"
        columns = {"step": pl.Int64, "tokens": pl.Int64, "language": pl.String, "loss": pl.Float64}
        write_table(held_out[model], pl.DataFrame(losses, schema=columns, orient="row"), Provenance("pretraining"))
    epochs = np.arange(1, 21)
    parts = [
        pl.DataFrame(
            {"network": network, "epoch": epochs, "split": split, "loss": 1 / epochs + offset * epochs / 20}
        ).with_columns(contrastive=1.0, l1=1 + 0.5 / epochs, cosine=0.5 - 0.3 / epochs, learning_rate=1e-4)
        for network in (0, 1)
        for split, offset in (("train", 0.0), ("validation", 0.2))
    ]
    maps = {model: folder / f"{model}-map.parquet" for model in tokens}
    for model, path in tokens.items():
        made = read_table(path, "initialized_model", ["id", "origin"]).rename({"id": "target"})
        none = [pl.lit(None, pl.Int32).alias("source"), pl.lit(None, pl.Float32).alias("weight")]
        write_table(maps[model], made.with_columns(none), Provenance("token_map"))
    write_token_origins(
        [maps[row["model"]] for row in rows[::2]],
        [folder / "target.parquet"] * len(tokens),
        [{**row, "tokenizer": row["target"]} for row in rows[::2]],
        folder / "token_origins.parquet",
        Provenance("token_origins"),
    )
    tested = [part.filter(epoch=9).with_columns(split=pl.lit("test")) for part in parts[1::2]]
    write_table(folder / "hypernetwork.parquet", pl.concat([*parts, *tested]), Provenance("hypernetwork"))
    measured = [
        {"method": method, "source": "tiny", "dim": DIM, "seed": 1, "split": split, "tokens": size}
        | {"cosine": cosine, "l1": 1 - cosine}
        for split, size, best in (("validation", 25, 0.35), ("test", 5, 0.33))
        for method, cosine in (("small", best - 0.04), ("ofa", best))
    ]
    write_table(folder / "quality.parquet", pl.DataFrame(measured, schema=QUALITY), Provenance("hypernetwork"))
    kept = {"language": ["eng_Latn", *LANGUAGES], "source": list("4tlnyr"), "read": 1000}
    dropped = {"kept": [800, 795, 800, 800, 790, 800], "held_out": 200, "placeholder": [0, 5, 0, 0, 10, 0]}
    write_table(folder / "counts.parquet", pl.DataFrame({**kept, **dropped}, strict=False), Provenance("corpus"))
    again = {"tur_Latn": ["A cat.", "A dog.", "A cat.", "A cat."], "fra_Latn": ["Un chat.", "Un chien."]}
    test = [(language, str(place), text) for language, texts in again.items() for place, text in enumerate(texts)]
    columns = ["language", "sentence_id", "text"]
    write_table(folder / "held_out.parquet", pl.DataFrame(test, schema=columns, orient="row"), Provenance("corpus"))
    return ReportInputs(
        run="try",
        scores=folder / "scores.parquet",
        intervals=folder / "intervals.parquet",
        comparisons=folder / "comparisons.parquet",
        rows=rows,
        configuration={
            "seed": 1,
            "sources": {"tiny": {"path": "</pre><script>console.error('path')</script>", "languages": ["eng_Latn"]}},
            "methods": {"ofa": {"initializer": "ofa", "top_k": 10, "temperature": 0.1}},
            "pretraining": {"steps": 400, "languages": None},
        },
        seed=1,
        token_origins=folder / "token_origins.parquet",
        corpora={"bible": folder / "counts.parquet"},
        test_sentences={"bible": folder / "held_out.parquet"},
        tokens=tokens,
        weights=weights,
        factors=dict.fromkeys(tokens, folder / "factors.safetensors"),
        source_vocabularies={"tiny": folder / "source.parquet"},
        target_vocabularies={"bible-1k": folder / "target.parquet"},
        pretraining=pretraining,
        held_out=held_out,
        fertility={
            f"bible/{name}": fertility_file(folder / f"fertility-{place}.parquet", place + 1)
            for place, name in enumerate(("source-tiny", "target-bible-1k"))
        },
        hypernetworks={"small": folder / "hypernetwork.parquet"},
        quality={"small": folder / "quality.parquet"},
    )


def scored_inputs(folder: Path, scores: dict[tuple[str, int, str], dict[str, float]], queries: int = 200) -> ReportInputs:
    """A run of scores alone: (model, step, task) -> language -> percentage, made of whole queries.

    Models are named `<method>-<source>-<dim>`, with `-seed<n>` behind where they have one.
    """
    ranks, rows = [], []
    for place, ((model, step, task), wanted) in enumerate(scores.items()):
        seed = int(model.partition("-seed")[2] or 42)
        right = {language: round(share * queries / 100) for language, share in wanted.items()}
        drawn = {language: [1] * hits + [None] * (queries - hits) for language, hits in right.items()}
        ranks.append(write_ranks(folder / f"{place}.parquet", drawn))
        rows.append({**run_row(model, step, task, seed), "run": "try", "target": "glot500-m"})
    scored(folder, ranks, rows, seed=42, top_k=[1, 10])
    intervals, comparisons = folder / "intervals.parquet", folder / "comparisons.parquet"
    table = folder / "scores.parquet"
    return ReportInputs("try", table, rows, {"seed": 42}, 42, intervals, comparisons)


def scored(folder: Path, ranks: list[Path], rows: list[dict[str, Any]], seed: int, **options: Any) -> pl.DataFrame:
    """Scores of a run of retrieval, which are returned, intervals and comparisons, in `folder`."""
    tasks, files = retrieval_tasks(dict.fromkeys(row["task"] for row in rows), **options), [[path] for path in ranks]
    scores = write_scores(tasks, rows, files, folder / "scores.parquet", Provenance("scores", seed=seed))
    write_statistics(
        tasks,
        rows,
        files,
        intervals_path=folder / "intervals.parquet",
        comparisons_path=folder / "comparisons.parquet",
        seed=seed,
        provenance=Provenance("significance", seed=seed),
    )
    return scores


def no_significance(folder: Path) -> tuple[Path, Path]:
    """Intervals and comparisons of a run of which no sentences are known."""
    paths = folder / "intervals.parquet", folder / "comparisons.parquet"
    for path, schema in zip(paths, (INTERVALS, COMPARISONS), strict=True):
        write_table(path, schema.to_frame(), Provenance("significance"))
    return paths


def fertility_file(path: Path, words: int) -> Path:
    """Fertility of a made-up tokenizer: twice `words` tokens a word, none counted in Korean."""
    rows = [
        {
            **dict.fromkeys(FERTILITY, 200 * words),
            "language": language,
            "sentences": 200,
            "words": None if language == "kor_Hang" else 100,
            "tokens_per_word": None if language == "kor_Hang" else 2.0 * words,
            "characters_per_token": 4.5 / words,
        }
        for language in LANGUAGES
    ]
    write_table(path, pl.DataFrame(rows, schema=FERTILITY), Provenance("fertility"))
    return path


def written(inputs: ReportInputs, folder: Path) -> Path:
    """The report of `inputs`, in `folder`."""
    write_report(inputs, folder / "report.html")
    return folder / "report.html"


def ranks_of(folder: Path, method: str, step: int) -> dict[str, NDArray[np.bool_]]:
    """Hits among the first ten of the run that `make_inputs` made, by language."""
    table = pl.read_parquet(folder / f"{method}-{step}.parquet")
    return {
        str(code): part["rank"].is_not_null().to_numpy() for (code,), part in table.group_by("language", maintain_order=True)
    }
