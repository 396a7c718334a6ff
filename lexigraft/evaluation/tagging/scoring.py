"""The stage that scores a tagger: languages one after the other, those that are scored already kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, identity, read_table
from lexigraft.devices import device_for
from lexigraft.evaluation.kept import digest_of, standing, write_kept
from lexigraft.evaluation.settings import TaggingTask
from lexigraft.evaluation.tagging.encoding import WordEncoder
from lexigraft.evaluation.tagging.entities import COUNTS, sentence_counts
from lexigraft.evaluation.tagging.model import STAGE as TAGGER
from lexigraft.evaluation.tagging.model import read_tagger
from lexigraft.evaluation.tagging.prediction import HEADLINES, labeled, predict, read_at_once, scores_of
from lexigraft.tagged_corpora.read import check_tags, read_tagged
from lexigraft.tokenizers.load import load_tokenizer

log = logging.getLogger(__name__)

STAGE = "tag_scores"
SENTENCES = pl.Schema(
    [("language", pl.String), ("sentence", pl.Int32), ("pieces", pl.Int32), *COUNTS.items(), ("made_from", pl.String)]
)
"""A row for each test sentence: `COUNTS`, in how many pieces it was read, and a digest of all that its counts follow from."""
CONFUSION = pl.Schema(
    {"language": pl.String, "gold": pl.String, "predicted": pl.String, "words": pl.Int64, "made_from": pl.String}
)


def write_tag_scores(
    task: TaggingTask,
    *,
    model_folder: Path,
    tagger_path: Path,
    tags_path: Path,
    sentences_path: Path,
    confusion_path: Path,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Tag the test sentences of every language and write what all scores are made of, and the confusion of tags.

    A language that the tables at `sentences_path` and `confusion_path` hold already, made from the same tagger, file, settings
    and code, is taken from there. All test files are read and checked before the first one is tagged.

    Args:
        task: `test` holds the languages.
        model_folder: the model that was fine-tuned.
        tagger_path, tags_path: what `write_tagger` wrote.
        sentences_path: `SENTENCES`, languages in the order of `task.test`.
        confusion_path: `CONFUSION`, pairs that occur.
        threads: of the CPU.
        gpus: 0 computes on the CPU.
        provenance: of both.

    Raises:
        InputError: a test file is missing, broken or without sentences, or has tags that the tagger does not know.
        ArtifactError: model or tagger is damaged.
    """
    torch.set_num_threads(threads)
    device = device_for(gpus)
    tags = read_table(tags_path, TAGGER)["tag"].to_list()
    keys = {language: _made_from(task, language, tagger_path, provenance) for language in task.test}
    kept = _kept(sentences_path, confusion_path, keys)
    wanted = [language for language in task.test if language not in kept]
    log.info("%d languages to score on %s, %d stand already", len(wanted), device, len(kept))
    for language in wanted:
        test = read_tagged(task.test[language], task, language)
        check_tags(test, tags, f"the test text of {language}", task.test[language].path)
    if wanted:
        tagger = read_tagger(model_folder, tagger_path, len(tags)).to(device)
        tokenizer: Any = load_tokenizer(model_folder)
        encoder = WordEncoder(tokenizer, read_at_once(task, tagger.encoder.config))
        for language in wanted:
            test = read_tagged(task.test[language], task, language)
            data = labeled(encoder, test, tags, language)
            predicted = predict(tagger, encoder, data.pieces, device, f"tagging {language}", task.fine_tuning.precision)
            counts = sentence_counts(data.tags, predicted, data.starts, tags)
            kept[language] = (
                counts.select(
                    pl.lit(language).alias("language"),
                    pl.int_range(pl.len()).alias("sentence"),
                    pl.lit(pl.Series(data.pieces.per_sentence)).alias("pieces"),
                    *COUNTS.names(),
                    pl.lit(keys[language]).alias("made_from"),
                ).cast(SENTENCES),
                confusion(data.tags, predicted, tags).select(
                    pl.lit(language).alias("language"), "gold", "predicted", "words", pl.lit(keys[language]).alias("made_from")
                ),
            )
            log.info("%s: %s", language, ", ".join(f"{name} {value:.1f}" for name, value in scores_of(counts).items()))
    write_kept(confusion_path, pl.concat([kept[language][1] for language in task.test]), provenance)
    write_kept(sentences_path, pl.concat([kept[language][0] for language in task.test]), provenance)


def confusion(gold: NDArray[np.int64], predicted: NDArray[np.int64], tags: Sequence[str]) -> pl.DataFrame:
    """How often each tag was given for each: gold, predicted, words; pairs that occur, in the order of the tag set."""
    pairs = np.bincount(gold * len(tags) + predicted, minlength=len(tags) ** 2)
    (found,) = np.nonzero(pairs)
    names = np.array(tags, dtype=object)
    columns = {
        "gold": names[found // len(tags)].tolist(),
        "predicted": names[found % len(tags)].tolist(),
        "words": pairs[found],
    }
    return pl.DataFrame(columns, schema={name: CONFUSION[name] for name in columns})


def tag_score_table(paths: Sequence[Path], headline: str = "f1") -> pl.DataFrame:
    """Scores of one model from the `sentences` tables of its taggers, one table a seed of fine-tuning.

    Args:
        paths: what `write_tag_scores` wrote with each seed.
        headline: the metric that comes first.

    Returns:
        language, metric, score, n: `HEADLINES` in percent, the mean over the seeds, and with more than one seed
        `<metric>_deviation`, the standard deviation over them (of a sample, in percentage points); n is what F1 is a share of
        (gold entities, words whose gold tag is not O) or all words.

    Raises:
        ArtifactError: a table is missing or damaged.
    """
    metrics = [headline, *(name for name in HEADLINES if name != headline)]
    sizes = {"f1": "entities", "token_f1": "marked", "accuracy": "words"}
    rows = []
    for seed, path in enumerate(paths):
        table = read_table(path, STAGE, ["language", *COUNTS.names()])
        for (language,), counts in table.group_by("language", maintain_order=True):
            scores = scores_of(counts.select(COUNTS.names()))
            rows += [(language, name, seed, scores[name], int(counts[sizes[name]].sum())) for name in metrics]
    found = pl.DataFrame(rows, schema=["language", "metric", "seed", "score", "n"], orient="row")
    grouped = found.group_by("language", "metric", maintain_order=True)
    means = grouped.agg(pl.col("score").mean(), pl.col("n").first())
    spread = grouped.agg(pl.col("score").std(), pl.col("n").first()).with_columns(pl.col("metric") + "_deviation")
    both = pl.concat([means, spread] if len(paths) > 1 else [means])
    schema = {"language": pl.String, "metric": pl.String, "score": pl.Float64, "n": pl.Int64}
    return both.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _made_from(task: TaggingTask, language: str, tagger_path: Path, provenance: Provenance) -> str:
    """Digest of all that a language's counts follow from; a missing file is told when it is read."""
    file = task.test[language]
    path = Path(file.path)
    return digest_of(
        task.model_dump(mode="json", include={"format", "column", "tag_map"}),
        identity(path) if path.is_file() else None,
        file.max_sentences,
        task.fine_tuning.max_length,
        task.fine_tuning.precision,
        identity(tagger_path),
        provenance.code,
        provenance.lock,
    )


def _kept(sentences_path: Path, confusion_path: Path, keys: Mapping[str, str]) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """Languages whose scores stand already: language -> its rows of both tables."""
    sentences = standing(sentences_path, STAGE, SENTENCES, keys)
    confused = standing(confusion_path, STAGE, CONFUSION, keys)
    return {language: (sentences[language], confused[language]) for language in sentences if language in confused}
