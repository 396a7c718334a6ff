"""Tagging with a tagger: sentences in the form that it reads, the tags that it predicts, and their scores."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexigraft.evaluation.sentences import budget_batches
from lexigraft.evaluation.tagging.encoding import Batch, Pieces, WordEncoder
from lexigraft.evaluation.tagging.model import Tagger
from lexigraft.evaluation.tasks.tagging import TaggerSettings
from lexigraft.modeling.encoder import usable_positions
from lexigraft.progress import progress
from lexigraft.tagged_corpora.table import TaggedSentences
from lexigraft.training.precision import autocast

log = logging.getLogger(__name__)

Integers = NDArray[np.int64]
TOKENS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Labeled:
    """Encoded sentences with their tags.

    Attributes:
        pieces: of all words.
        tags: (words,) indices into the tag set.
        starts: (sentences + 1,) where each sentence begins among the words.
    """

    pieces: Pieces
    tags: Integers
    starts: Integers


def labeled(encoder: WordEncoder, sentences: TaggedSentences, tags: list[str], what: str) -> Labeled:
    """Encode sentences and log how many of them the model cannot read at once."""
    pieces = encoder.encode(sentences)
    cut = int((pieces.per_sentence > 1).sum())
    words, unknown = len(sentences.words), encoder.unknown_words(pieces)
    log.info(
        "%s: %d sentences, %d words (%.1f %% of them hold an unknown token), %d tokens",
        *(what, len(sentences), words, 100 * unknown / words, len(pieces.tokens)),
    )
    if cut or pieces.shortened:
        log.warning(
            "%s: %d sentences are longer than %d tokens and read in pieces; %d words alone are longer and cut",
            *(what, cut, encoder.room, pieces.shortened),
        )
    return Labeled(pieces, sentences.tag_ids(tags), sentences.starts)


def read_at_once(task: TaggerSettings, config: Any) -> int:
    """Tokens that a tagger reads at once: `max_length`, or as many as the model has positions."""
    positions = usable_positions(config)
    if positions < task.fine_tuning.max_length:
        log.warning("the model has %d positions: `max_length` %d is too large", positions, task.fine_tuning.max_length)
    return min(task.fine_tuning.max_length, positions)


def predict(tagger: Tagger, encoder: WordEncoder, pieces: Pieces, device: torch.device, what: str, precision: str) -> Integers:
    """(words,) most likely tag of each word."""
    found = np.empty(len(pieces.first), dtype=np.int64)
    lengths = pieces.lengths + len(encoder.before) + len(encoder.after)
    batches = budget_batches(lengths, TOKENS_AT_ONCE)
    tagger.eval()
    with torch.inference_mode():
        for chosen in progress(batches, len(batches), what, "batches"):
            batch = encoder.batch(pieces, chosen)
            with autocast(precision, device):
                found[batch.words] = logits_of(tagger, batch, device).argmax(dim=1).cpu().numpy()
    return found


def logits_of(tagger: Tagger, batch: Batch, device: torch.device) -> Tensor:
    """(n, tags) logits of a batch, which is brought to the device."""
    arrays = (batch.input_ids, batch.attention_mask, batch.positions)
    logits: Tensor = tagger(*(torch.from_numpy(array).to(device) for array in arrays))
    return logits
