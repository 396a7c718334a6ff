"""Settings of continual pre-training (CPT)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from lexigraft.languages import LanguageCode
from lexigraft.settings import Name, Settings


class LearningRates(Settings):
    """AdamW's peak learning rate of each parameter group."""

    encoder: float = Field(default=5e-5, ge=0)
    primitives: float = Field(default=5e-5, ge=0)
    """P, the primitive embeddings (D' x D)."""
    coordinates: float = Field(default=5e-5, ge=0)
    """F, the coordinates (V x D'): entries of RMS 1/sqrt(V), so Adam moves them fast."""
    head: float = Field(default=5e-5, ge=0)
    """Transform and bias of the masked-language-modelling head."""


class PretrainingSettings(Settings):
    """Masked language modelling on packed sentences."""

    corpus: Name
    languages: list[LanguageCode] | None = None
    steps: PositiveInt = 4000
    checkpoints: list[PositiveInt] = Field(default=[4000], min_length=1)
    """Steps whose models are kept and scored; the last one must be `steps`."""
    length: PositiveInt = 512
    batch_size: PositiveInt = 8
    """Sequences a forward pass (a micro-batch)."""
    accumulation: PositiveInt = 64
    """Micro-batches an optimizer step, over all GPUs: effective batch = batch_size x accumulation."""
    learning_rates: LearningRates = LearningRates()
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: PositiveFloat = 1.0
    warmup_steps: int = Field(default=0, ge=0)
    mask_probability: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    save_every: PositiveInt = 200
    """Optimizer steps between resumable checkpoints."""
