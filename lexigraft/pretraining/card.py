"""The section of a model card on pre-training."""

from __future__ import annotations

import polars as pl

from lexigraft.pretraining.objectives import objective_of
from lexigraft.pretraining.settings import PretrainingSettings


def training_section(
    settings: PretrainingSettings, history: pl.DataFrame, languages: pl.DataFrame, step: int, seed: int
) -> str:
    """Return the section of the model card on training up to `step`, from the tables of all steps and of the languages."""
    row = history.row(by_predicate=pl.col("step") == step, named=True)
    warmup = f" after {settings.warmup_steps} steps of warm-up" if settings.warmup_steps else ""
    objective = objective_of(settings)
    shares = ", ".join(
        f"{language} ({sequences:,})" for language, sequences in languages.select("language", "sequences").iter_rows()
    )
    return f"""## Continual pre-training

{objective.title}. This is the model after step {step:,} of {settings.steps:,}:
{row["tokens"]:,} tokens seen, loss of that step's batch {row["loss"]:.3f} (nats per predicted token).

| | |
| --- | --- |
| corpus | {settings.corpus} |
| languages (sequences) | {shares} |
| sequences | {settings.length} tokens, sentences of one language joined |
| sampling of languages | p ~ n^{settings.sampling_exponent:g} |
| effective batch | {settings.batch_size * settings.accumulation} sequences |
{objective.card_row()}
| optimizer | AdamW, weight decay {settings.weight_decay:g}, gradient norm clipped at {settings.clip_norm:g} |
{_rates(settings)}
| schedule | {settings.schedule}{"" if settings.schedule == "constant" else " to 0"}{warmup} |
| dropout | {"the source model's" if settings.dropout is None else f"{settings.dropout:g}"} |
| seed | {seed} |
"""


def _rates(settings: PretrainingSettings) -> str:
    lines, start = [], 1
    ends = settings.phase_ends
    for end in ends:
        rates = settings.rates_at(end)[1]
        shown = ", ".join(f"{name} {rates[key]:g}" for key, name in _NAMES.items())
        when = "" if len(ends) == 1 else f", steps {start} to {end}"
        lines.append(f"| learning rates{when} | {shown} |")
        start = end + 1
    return "\n".join(lines)


_NAMES = {"encoder": "encoder", "primitives": "P", "coordinates": "F", "head": "head", "bias": "output bias"}
