"""An optimizer step of masked language modeling: RoBERTa-base's shape, 4 sequences of 128 tokens, without dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Arrays, Case, benchmark

VOCABULARY, RANK, SEQUENCES, LENGTH, WIDTH = 401_000, 100, 4, 128, 768
STEPS = 3
ENCODER = 86_000_000
PAD, MASK = 1, 4
RATE = 5e-5
_SHAPE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "pad_token_id": PAD,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@benchmark(
    f"pre-training, {STEPS} steps, V = {VOCABULARY // 1000}K, D' = {RANK}",
    plain="transformers' RobertaForMaskedLM: full table, logits at every position",
    goal=4.0,
    lighter=0.45,
)
def step_of_transformers(fraction: float) -> Case:
    return _compared(fraction, _of_transformers)


@benchmark(
    f"pre-training, {STEPS} steps, V = {VOCABULARY // 1000}K, logits where they are needed",
    plain="the same factorized model, logits at every position",
    goal=1.5,
)
def step_everywhere(fraction: float) -> Case:
    return _compared(fraction, _everywhere)


@benchmark(
    f"pre-training, {STEPS} steps, V = {VOCABULARY // 1000}K, beside its encoder",
    plain="the encoder alone: forward, backward and AdamW, no embeddings and no output",
    goal=1 / 1.35,
)
def step_of_encoder(fraction: float) -> Case:
    return _compared(fraction, _encoder_alone, same_losses=False)


def _scaled(vocabulary: int, rank: int) -> None:
    name = "full" if rank == WIDTH else str(rank)
    # weights, gradients and two moments of each parameter, once more the gradient of the table, which input and output both
    # give, and what interpreter, libraries and activations take
    memory = (16 * (ENCODER + vocabulary * (rank + 1)) + 4 * vocabulary * rank) / 2**30 + 1.5

    @benchmark(f"pre-training, {STEPS} steps, V = {vocabulary // 1000}K, D' = {name}, by itself", memory=round(memory, 1))
    def step(fraction: float) -> Case:
        return _compared(fraction, None, vocabulary=vocabulary, rank=rank)


for _vocabulary in (50_000, 100_000, 200_000, VOCABULARY):
    _scaled(_vocabulary, RANK)
for _rank in (200, 400, WIDTH):
    _scaled(VOCABULARY, _rank)


def _compared(
    fraction: float,
    plain: Callable[[int, int], Callable[[], float]] | None,
    *,
    vocabulary: int = VOCABULARY,
    rank: int = RANK,
    same_losses: bool = True,
) -> Case:
    """A case with `fraction` of the vocabulary; each side is built, and takes one step, before it is timed."""
    size = round(vocabulary * fraction)
    step: list[Callable[[], float]] = []
    losses: list[float] = []

    def before(side: str) -> None:
        build = _ours if side == "ours" or plain is None else plain
        step.append(build(size, rank))
        losses.append(step[0]())

    def run() -> Arrays:
        losses.extend(step[0]() for _ in range(STEPS))
        return {"losses": np.array(losses[: 1 + STEPS])}

    def same(one: Arrays, other: Arrays) -> str:
        if not same_losses:
            return "nothing to compare"
        difference = float(np.abs(one["losses"][0] - other["losses"][0]) / other["losses"][0])
        assert difference < 1e-4, f"losses {one['losses']}, {other['losses']}"
        return f"first loss equal to {difference:.0e}"

    return Case(run, run if plain is not None else None, same, before=before)


def _batch(size: int) -> Any:
    from lexigraft.pretraining.objectives.mlm import MaskingRule, mask_tokens

    rng = np.random.default_rng(0)
    is_text = np.arange(size) > MASK
    tokens = rng.integers(MASK + 1, size, (SEQUENCES, LENGTH))
    return mask_tokens(tokens, MaskingRule(is_text, np.flatnonzero(is_text), MASK), 0.15, rng)


def _factorized(size: int, rank: int) -> Any:
    import torch

    from lexigraft.modeling.classes import FactorizedRobertaConfig, FactorizedRobertaForMaskedLM

    torch.manual_seed(0)
    return FactorizedRobertaForMaskedLM(FactorizedRobertaConfig(vocab_size=size, factor_dim=rank, **_SHAPE))


def _ours(size: int, rank: int) -> Callable[[], float]:
    """The steps of the training loop."""
    import torch

    from lexigraft.modeling.output_head import output_head
    from lexigraft.pretraining.loop import TrainingState
    from lexigraft.pretraining.objectives import objective_of
    from lexigraft.pretraining.optimizer import GROUPS, adamw
    from lexigraft.pretraining.settings import PretrainingSettings
    from lexigraft.training.optimizer import set_rates

    model = _plain(size, rank) if rank == WIDTH else _factorized(size, rank)
    model.train()
    settings = PretrainingSettings(corpus="bench")
    optimizer = adamw(model, settings)
    set_rates(optimizer, dict.fromkeys(GROUPS, RATE), 1.0)
    state = TrainingState(model, model.base_model, output_head(model), objective_of(settings), optimizer)
    batch = _batch(size)

    def step() -> float:
        loss = state.loss(batch) / len(batch.labels)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _plain(size: int, rank: int) -> Any:
    """transformers' model with the table E = F P, so that it starts with the same loss."""
    import torch
    from transformers import RobertaConfig, RobertaForMaskedLM

    model = RobertaForMaskedLM(RobertaConfig(vocab_size=size, **_SHAPE))
    if rank == WIDTH:
        return model
    made = _factorized(size, rank)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name in own:
                own[name].copy_(parameter)
        embedding = made.get_input_embeddings()
        model.get_input_embeddings().weight.copy_(embedding.coordinates @ embedding.primitives)
    return model


def _of_transformers(size: int, rank: int) -> Callable[[], float]:
    return _everywhere(size, rank, _plain)


def _everywhere(size: int, rank: int, build: Callable[[int, int], Any] = _factorized) -> Callable[[], float]:
    """A step as a user of transformers writes it: labels of -100 where nothing is asked, the model's own loss."""
    import torch

    model = build(size, rank).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    batch = _batch(size)
    ids = torch.from_numpy(batch.input_ids)
    labels = torch.full((SEQUENCES * LENGTH,), -100)
    labels[batch.positions] = torch.from_numpy(batch.labels)

    def step() -> float:
        loss = model(ids, labels=labels.view(SEQUENCES, LENGTH)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _encoder_alone(_size: int, _rank: int) -> Callable[[], float]:
    import torch
    from transformers import RobertaConfig
    from transformers.models.roberta.modeling_roberta import RobertaModel

    whole = RobertaModel(RobertaConfig(vocab_size=8, **_SHAPE), add_pooling_layer=False)
    encoder = whole.encoder.train()
    parameters = list(encoder.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0, fused=True)
    given = torch.randn(SEQUENCES, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))

    def step() -> float:
        loss = encoder(given).last_hidden_state.square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step
