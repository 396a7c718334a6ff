"""The stage that scores a tagger, language by language; rows of languages that are still right are reused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lexigraft.artifacts import Provenance, identity, read_table
from lexigraft.devices import device_for
from lexigraft.evaluation.reuse import digest_of, reusable_rows, write_reusable
from lexigraft.evaluation.tagging.encoding import WordEncoder
from lexigraft.evaluation.tagging.entities import COUNTS, sentence_counts
from lexigraft.evaluation.tagging.model import STAGE as TAGGER
from lexigraft.evaluation.tagging.model import read_tagger
from lexigraft.evaluation.tagging.prediction import labeled, predict, read_at_once
from lexigraft.evaluation.tasks.tagging import STAGE, TaggingTask, scores_of
from lexigraft.tagged_corpora.read import check_tags, read_tagged
from lexigraft.tokenizers.load import load_tokenizer

log = logging.getLogger(__name__)

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

    Rows of a language in earlier tables at `sentences_path` and `confusion_path` are reused if they were made from the same
    tagger, file, settings and code. All test files are read and checked before the first one is tagged.

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
    sentences = reusable_rows(sentences_path, STAGE, SENTENCES, keys)
    confused = reusable_rows(confusion_path, STAGE, CONFUSION, keys)
    wanted = [language for language in task.test if language not in sentences or language not in confused]
    log.info("%d languages to score on %s, %d reused", len(wanted), device, len(keys) - len(wanted))
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
            code, made_from = pl.lit(language).alias("language"), pl.lit(keys[language]).alias("made_from")
            number, pieces = pl.int_range(pl.len()).alias("sentence"), pl.Series("pieces", data.pieces.per_sentence)
            sentences[language] = counts.select(code, number, pieces, *COUNTS.names(), made_from).cast(SENTENCES)
            confused[language] = confusion(data.tags, predicted, tags).select(code, pl.all(), made_from)
            log.info("%s: %s", language, ", ".join(f"{name} {value:.1f}" for name, value in scores_of(counts).items()))
    write_reusable(confusion_path, pl.concat([confused[language] for language in task.test]), provenance)
    write_reusable(sentences_path, pl.concat([sentences[language] for language in task.test]), provenance)


def confusion(gold: NDArray[np.int64], predicted: NDArray[np.int64], tags: Sequence[str]) -> pl.DataFrame:
    """Words by their gold and predicted tag: gold, predicted, words; pairs that occur, in the order of the tag set."""
    pairs = np.bincount(gold * len(tags) + predicted, minlength=len(tags) ** 2)
    (found,) = np.nonzero(pairs)
    rows = [(tags[pair // len(tags)], tags[pair % len(tags)], int(pairs[pair])) for pair in found.tolist()]
    return pl.DataFrame(rows, schema={name: CONFUSION[name] for name in ("gold", "predicted", "words")}, orient="row")


def _made_from(task: TaggingTask, language: str, tagger_path: Path, provenance: Provenance) -> str:
    """Digest of all that a language's counts follow from; reading a missing file is the error, not this."""
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
