"""Log-probabilities of the tokens of sentences, given all others or those before them; see `language_modeling`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from lexigraft.evaluation.sentences import Sentences, budget_batches, encode_sentences, ragged, side_by_side, special_tokens
from lexigraft.evaluation.tasks.language_modeling import LanguageModelingTask
from lexigraft.modeling.encoder import usable_positions
from lexigraft.modeling.output_head import masked_logits
from lexigraft.progress import progress

log = logging.getLogger(__name__)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
LIKELIHOODS = pl.Schema(
    {"measure": pl.String, **dict.fromkeys(("tokens", "cut_tokens", "bytes", "scored"), pl.Int64), "log_likelihood": pl.Float64}
)
"""A row for each sentence: how it was measured (`masked`, `pseudo_perplexity`, `causal`), tokens that were read, tokens beyond
the model's length, bytes of what was read, tokens that were predicted, and the sum of their log-probabilities (nats)."""
TOKENS_AT_ONCE = 4096
LOGITS_AT_ONCE = 1 << 26


def masked_scores(
    model: Any, tokenizer: Any, texts: list[str], task: LanguageModelingTask, seed: int, what: str = "sentences"
) -> pl.DataFrame:
    """Log-likelihoods of masked tokens.

    Args:
        model: a masked language model of one of the families, in evaluation mode.
        tokenizer: its fast tokenizer.
        texts: sentences.
        task: measure, share of tokens to mask (`masked`: each token with this probability, at least one per sentence), length.
        seed: of the choice of tokens; that of a sentence depends on its number in the list only.
        what: for the log.

    Returns:
        `LIKELIHOODS`.
    """
    before, after = special_tokens(tokenizer.backend_tokenizer, tokenizer.mask_token)
    room = min(task.max_length, usable_positions(model.config)) - len(before) - len(after)
    sentences = encode_sentences(tokenizer.backend_tokenizer, texts, room)
    _log_cuts(sentences, room, what)
    scored = np.zeros(len(sentences), dtype=np.int64)
    likelihood = np.zeros(len(sentences))
    if task.measure == "pseudo_perplexity":
        batches = list(_single_masks(sentences, model.config.vocab_size))
    else:
        batches = list(_joint_masks(sentences, task.mask_probability, seed, model.config.vocab_size))
    with torch.inference_mode():
        for rows, places, row_of in progress(batches, len(batches), f"predicting {what}", "batches"):
            lengths = sentences.lengths[rows]
            ids, mask = side_by_side(sentences.tokens, sentences.starts[rows], lengths, before, after, tokenizer.pad_token_id)
            columns = places + len(before)
            labels = ids[row_of, columns].copy()
            ids[row_of, columns] = tokenizer.mask_token_id
            arrays = (ids, mask, row_of * ids.shape[1] + columns, labels)
            input_ids, attention_mask, positions, targets = (torch.from_numpy(array).to(model.device) for array in arrays)
            logits = masked_logits(model, input_ids, attention_mask, positions)
            np.add.at(likelihood, rows[row_of], -_losses(logits, targets))
            np.add.at(scored, rows[row_of], 1)
    return _table(task.measure, sentences, scored, likelihood)


def causal_scores(model: Any, tokenizer: Any, texts: list[str], max_length: int, what: str = "sentences") -> pl.DataFrame:
    """Log-likelihoods of tokens after those before them, of a causal language model.

    A sentence begins with the tokenizer's beginning-of-text token, or, where it has none, its end-of-text one. With neither the
    first token of a sentence is not predicted.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        tokenizer: its fast tokenizer.
        texts: sentences.
        max_length: tokens that are read, the first one included.
        what: for the log.

    Returns:
        `LIKELIHOODS`, the measure being `causal`.
    """
    beginning = next((token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None), None)
    before = [] if beginning is None else [int(beginning)]
    room = min(max_length, int(getattr(model.config, "max_position_embeddings", max_length))) - len(before)
    sentences = encode_sentences(tokenizer.backend_tokenizer, texts, room)
    _log_cuts(sentences, room, what)
    likelihood = np.zeros(len(sentences))
    scored = np.maximum(sentences.lengths + len(before) - 1, 0)
    budget = max(1, min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // model.config.vocab_size))
    some = np.flatnonzero(scored)
    batches = [some[batch] for batch in budget_batches(sentences.lengths[some] + len(before), budget)]
    with torch.inference_mode():
        for rows in progress(batches, len(batches), f"predicting {what}", "batches"):
            # padding at the end changes nothing before it, so any id will do
            ids, mask = side_by_side(sentences.tokens, sentences.starts[rows], sentences.lengths[rows], before, [], 0)
            input_ids, attention_mask = (torch.from_numpy(array).to(model.device) for array in (ids, mask))
            logits = model(input_ids=input_ids, attention_mask=attention_mask).logits[:, :-1]
            real = attention_mask[:, 1:].bool()
            row_of = np.nonzero(mask[:, 1:])[0]
            np.add.at(likelihood, rows[row_of], -_losses(logits[real], input_ids[:, 1:][real]))
    return _table("causal", sentences, scored, likelihood)


Masked = tuple[Integers, Integers, Integers]
"""Sentences of a batch, one per row; places of masked tokens within their sentence; and the row of each."""


def _single_masks(sentences: Sentences, vocabulary: int) -> Iterator[Masked]:
    """Every token of every sentence, in a row of its own."""
    sentence_of, place_of = ragged(sentences.lengths)
    for chosen in _batches(sentences.lengths[sentence_of], lambda _: 1, vocabulary):
        yield sentence_of[chosen], place_of[chosen], np.arange(len(chosen))


def _joint_masks(sentences: Sentences, probability: float, seed: int, vocabulary: int) -> Iterator[Masked]:
    """Each token with `probability`, at least one of every sentence that has any."""
    places: list[Integers] = []
    for number, length in enumerate(sentences.lengths.tolist()):
        rng = np.random.default_rng([seed, number])
        drawn = np.flatnonzero(rng.random(length) < probability)
        places.append(drawn if len(drawn) or not length else rng.integers(length, size=1))
    counts = np.array([len(item) for item in places], dtype=np.int64)
    some = np.flatnonzero(counts)
    for chosen in _batches(sentences.lengths[some], lambda index: int(counts[some[index]]), vocabulary):
        rows = some[chosen]
        yield rows, np.concatenate([places[row] for row in rows]), np.repeat(np.arange(len(rows)), counts[rows])


def _batches(lengths: Integers, masks: Callable[[int], int], vocabulary: int) -> Iterator[Integers]:
    """Batches of rows of similar length, each within the budget of tokens and of logits."""
    most = max(1, LOGITS_AT_ONCE // vocabulary)
    for batch in budget_batches(lengths, TOKENS_AT_ONCE):
        part: list[int] = []
        used = 0
        for index in batch.tolist():
            wanted = masks(index)
            if part and used + wanted > most:
                yield np.array(part)
                part, used = [], 0
            part.append(index)
            used += wanted
        yield np.array(part)


def _losses(logits: Tensor, labels: Tensor) -> Floats:
    losses: Floats = cross_entropy(logits.float(), labels, reduction="none").double().cpu().numpy()
    return losses


def _table(measure: str, sentences: Sentences, scored: Integers, likelihood: Floats) -> pl.DataFrame:
    columns = {
        "measure": [measure] * len(sentences),
        "tokens": sentences.lengths,
        "cut_tokens": sentences.cut,
        "bytes": sentences.bytes,
        "scored": scored,
        "log_likelihood": likelihood,
    }
    return pl.DataFrame(columns, schema=LIKELIHOODS)


def _log_cuts(sentences: Sentences, room: int, what: str) -> None:
    if sentences.cut.any():
        count, tokens = int((sentences.cut > 0).sum()), int(sentences.cut.sum())
        log.warning("%s: %d sentences are longer than %d tokens; %d tokens beyond that are not read", what, count, room, tokens)
