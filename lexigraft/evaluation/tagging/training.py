"""Fine-tuning of a tagger, resumable at every evaluation on the development sentences.

Order and dropout follow from (seed, epoch) and (seed, step), so a resumed run needs no state of random generators. A batch is
computed in micro-batches of pieces of like length: the gradient is that of the whole batch, and next to nothing is padding.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lexigraft.errors import LexigraftError
from lexigraft.evaluation.sentences import budget_batches
from lexigraft.evaluation.tagging.encoding import Batch, Pieces, WordEncoder
from lexigraft.evaluation.tagging.entities import f1, sentence_counts
from lexigraft.evaluation.tagging.model import Tagger
from lexigraft.evaluation.tagging.state import State
from lexigraft.evaluation.tasks.tagging import FineTuning
from lexigraft.progress import progress

log = logging.getLogger(__name__)

Integers = NDArray[np.int64]
HISTORY = pl.Schema({"step": pl.Int64, "loss": pl.Float64, "dev_f1": pl.Float64, "dev_accuracy": pl.Float64})
HEADLINES = ("f1", "token_f1", "accuracy")
TOKENS_AT_ONCE = 4096
_ORDER, _DROPOUT = range(2)  # what a seed is for, mixed into it


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


@dataclass(slots=True)
class Progress:
    """What has happened so far: mean loss since the evaluation before, and scores, after each evaluation."""

    step: int = 0
    best_step: int = 0
    best_score: float = -1.0
    losses: list[float] = field(default_factory=list)
    rows: list[tuple[int, float, float, float]] = field(default_factory=list)


def fine_tune(
    tagger: Tagger,
    encoder: WordEncoder,
    train: Labeled,
    dev: Labeled,
    tags: list[str],
    settings: FineTuning,
    *,
    headline: str,
    seed: int,
    state: State,
    device: torch.device,
) -> pl.DataFrame:
    """Train `tagger` and leave it with the weights that scored best on `dev`, the earliest of equals.

    Args:
        tagger: with a fresh linear layer; it is changed.
        encoder: made the pieces.
        train, dev: sentences.
        tags: the tag set.
        settings: of the run.
        headline: of `HEADLINES`, the score that chooses.
        seed: of order and dropout.
        state: where a killed run goes on from.
        device: where it computes.

    Returns:
        history, `HISTORY`: a row each evaluation.

    Raises:
        LexigraftError: the loss became NaN or infinite.
    """
    tagger.to(device)
    if settings.dropout is not None:
        for module in tagger.modules():
            if isinstance(module, nn.Dropout):
                module.p = settings.dropout
    optimizer = adamw(tagger, settings)
    pieces = len(train.pieces)
    steps_an_epoch = math.ceil(pieces / settings.batch_size)
    steps = settings.epochs * steps_an_epoch
    done = _resumed(state, tagger, optimizer)
    log.info(
        "%d steps (%d epochs of %d) on %d pieces of %d sentences; %s",
        steps,
        settings.epochs,
        steps_an_epoch,
        pieces,
        len(train.starts) - 1,
        f"going on after step {done.step}" if done.step else "from the start",
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in progress(range(done.step + 1, steps + 1), steps - done.step, "fine-tuning", "steps"):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor(step, steps, settings.warmup_steps)
            chosen = batch_of(step, pieces, settings.batch_size, seed)
            torch.manual_seed(_derived_seed(seed, _DROPOUT, step))
            done.losses.append(train_step(tagger.train(), encoder, train, chosen, settings, optimizer, device, step))
            if step % settings.evaluate_every == 0 or step == steps:
                _evaluate(done, step, tagger, encoder, dev, tags, headline, settings, device)
                _save(state, done, tagger, optimizer)
    tagger.set_weights(state.best(done.best_step))
    log.info("best after step %d: %s %.2f on the development sentences", done.best_step, headline, done.best_score)
    return pl.DataFrame(done.rows, schema=HISTORY, orient="row")


def batch_of(step: int, pieces: int, size: int, seed: int) -> Integers:
    """Pieces of the batch of `step` (from 1): every epoch is a permutation of its own, its last batch may be smaller."""
    epoch, place = divmod(step - 1, math.ceil(pieces / size))
    order = np.random.default_rng([seed, _ORDER, epoch]).permutation(pieces)
    return order[place * size : (place + 1) * size]


def factor(step: int, steps: int, warmup_steps: int = 0) -> float:
    """Factor on the learning rate at `step` (from 1): as transformers' linear schedule, 1 at the first step without warm-up."""
    if step <= warmup_steps:
        return (step - 1) / warmup_steps
    return (steps - step + 1) / max(steps - warmup_steps, 1)


def micro_batches(pieces: Pieces, chosen: Integers, size: int) -> Iterator[Integers]:
    """Parts of a batch, at most `size` pieces each, pieces of like length together."""
    order = chosen[np.argsort(pieces.lengths[chosen], kind="stable")]
    for first in range(0, len(order), size):
        yield order[first : first + size]


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
                found[batch.words] = _logits(tagger, batch, device).argmax(dim=1).cpu().numpy()
    return found


def scores_of(counts: pl.DataFrame) -> dict[str, float]:
    """The `HEADLINES` in percent: micro F1 of entities, micro F1 of words whose tag is not O, share of words tagged rightly."""
    total = {name: float(value or 0) for name, value in zip(counts.columns, counts.sum().row(0), strict=True)}
    return {
        "f1": f1(total["right_entities"], total["predicted_entities"], total["entities"]),
        "token_f1": f1(total["right_marked"], total["predicted_marked"], total["marked"]),
        "accuracy": 100.0 * total["right_words"] / total["words"] if total["words"] else 0.0,
    }


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context of matrix products: `auto` is bfloat16 on GPUs that have it."""
    if precision == "auto":
        fit = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if fit else "float32"
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()


def train_step(
    tagger: Tagger,
    encoder: WordEncoder,
    train: Labeled,
    chosen: Integers,
    settings: FineTuning,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    step: int,
) -> float:
    """One optimizer step on the pieces `chosen`; returns the mean loss over their words.

    Args:
        tagger: in training mode.
        encoder: made the pieces.
        train: all training sentences.
        chosen: pieces of the batch.
        settings: size of micro-batches, precision, norm of the gradient.
        optimizer: of the tagger's parameters.
        device: of the tagger.
        step: for the message of an error.

    Raises:
        LexigraftError: loss or gradient is not finite.
    """
    words = int((train.pieces.words[chosen + 1] - train.pieces.words[chosen]).sum())
    total = torch.zeros((), device=device)
    for part in micro_batches(train.pieces, chosen, settings.micro_batch):
        batch = encoder.batch(train.pieces, part)
        with autocast(settings.precision, device):
            logits = _logits(tagger, batch, device)
            labels = torch.from_numpy(train.tags[batch.words]).to(device)
            loss: Tensor = cross_entropy(logits.float(), labels, reduction="sum") / words
        torch.autograd.backward(loss)
        total += loss.detach()
    norm = nn.utils.clip_grad_norm_(tagger.parameters(), settings.clip_norm)
    mean_loss, gradient_norm = (float(value) for value in torch.stack([total, norm]).tolist())
    if not (math.isfinite(mean_loss) and math.isfinite(gradient_norm)):
        raise LexigraftError(
            f"fine-tuning diverged at step {step}: loss {mean_loss}, gradient norm {gradient_norm}",
            hint="lower `fine_tuning.learning_rate`; if it happens at the first step, the model itself is broken",
        )
    optimizer.step()
    optimizer.zero_grad()
    return mean_loss


def _evaluate(
    done: Progress,
    step: int,
    tagger: Tagger,
    encoder: WordEncoder,
    dev: Labeled,
    tags: list[str],
    headline: str,
    settings: FineTuning,
    device: torch.device,
) -> None:
    predicted = predict(tagger, encoder, dev.pieces, device, "development sentences", settings.precision)
    scores = scores_of(sentence_counts(dev.tags, predicted, dev.starts, tags))
    loss = float(np.mean(done.losses))
    log.info("step %d: loss %.4f, f1 %.2f, accuracy %.2f", step, loss, scores["f1"], scores["accuracy"])
    done.rows.append((step, loss, scores["f1"], scores["accuracy"]))
    done.step, done.losses = step, []
    if scores[headline] > done.best_score:
        done.best_step, done.best_score = step, scores[headline]


def _logits(tagger: Tagger, batch: Batch, device: torch.device) -> Tensor:
    arrays = (batch.input_ids, batch.attention_mask, batch.positions)
    logits: Tensor = tagger(*(torch.from_numpy(array).to(device) for array in arrays))
    return logits


def adamw(tagger: Tagger, settings: FineTuning) -> torch.optim.AdamW:
    """AdamW over all parameters, without decay on those of fewer than two dimensions."""
    parameters = list(tagger.parameters())
    groups = [
        {"params": [one for one in parameters if one.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _save(state: State, done: Progress, tagger: Tagger, optimizer: torch.optim.Optimizer) -> None:
    weights = tagger.weights()
    tensors: dict[str, NDArray[Any]] = {f"model/{name}": value for name, value in weights.items()}
    for name, parameter in tagger.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.cpu().numpy()
    tensors["history"] = np.array(done.rows, dtype=np.float64)
    tensors["best_score"] = np.array([done.best_score])
    state.save(done.step, done.best_step, tensors, weights if done.best_step == done.step else None)


def _resumed(state: State, tagger: Tagger, optimizer: torch.optim.Optimizer) -> Progress:
    found = state.newest()
    if found is None:
        return Progress()
    step, best_step, tensors = found
    tagger.set_weights({name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")})
    parameters = dict(tagger.named_parameters())
    for full_name, array in tensors.items():
        if full_name.startswith("optimizer/"):
            _, key, name = full_name.split("/")
            optimizer.state[parameters[name]][key] = torch.from_numpy(array).to(parameters[name].device)
    rows = [(int(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in tensors["history"]]
    return Progress(step, best_step, float(tensors["best_score"][0]), [], rows)


def _derived_seed(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
