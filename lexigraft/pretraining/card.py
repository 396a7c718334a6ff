"""What a model card says of pre-training."""

from __future__ import annotations

import polars as pl

from lexigraft.pretraining.settings import PretrainingSettings


def training_section(settings: PretrainingSettings, history: pl.DataFrame, step: int, seed: int) -> str:
    """Return the section of the model card on training up to `step`; `history` is the table of all steps."""
    row = history.row(by_predicate=pl.col("step") == step, named=True)
    rates = settings.learning_rates
    languages = ", ".join(settings.languages) if settings.languages else "all of the corpus"
    warmup = f" after {settings.warmup_steps} steps of warm-up" if settings.warmup_steps else ""
    return f"""## Continual pre-training

Masked language modelling. This is the model after step {step:,} of {settings.steps:,}: {row["tokens"]:,} tokens seen, loss of
that step's batch {row["loss"]:.3f} (nats a masked token).

| | |
| --- | --- |
| corpus | {settings.corpus} |
| languages | {languages} |
| sequences | {settings.length} tokens, sentences joined |
| effective batch | {settings.batch_size * settings.accumulation} sequences |
| masked | {settings.mask_probability:.0%} of the tokens: 80 % mask token, 10 % random token, 10 % unchanged |
| optimizer | AdamW, weight decay {settings.weight_decay:g}, gradient norm clipped at {settings.clip_norm:g} |
| learning rates | encoder {rates.encoder:g}, P {rates.primitives:g}, F {rates.coordinates:g}, head {rates.head:g} |
| schedule | linear to 0{warmup} |
| dropout | {"the source model's" if settings.dropout is None else f"{settings.dropout:g}"} |
| seed | {seed} |
"""
