"""Settings of continual pre-training (CPT)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lexigraft.languages import LanguageCode
from lexigraft.settings import Name, Settings


class LearningRates(Settings):
    """AdamW's peak learning rate of each parameter group; 0 freezes the group."""

    encoder: float = Field(default=5e-5, ge=0)
    primitives: float = Field(default=5e-5, ge=0)
    """P, the primitive embeddings (D' x D)."""
    coordinates: float = Field(default=5e-5, ge=0)
    """F, the coordinates (V x D'): entries of RMS 1/sqrt(V), so Adam moves them fast."""
    head: float = Field(default=5e-5, ge=0)
    """Transform and bias of the masked-language-modelling head."""

    @model_validator(mode="after")
    def _something_learns(self) -> Self:
        if not (self.encoder or self.primitives or self.coordinates or self.head):
            raise ValueError("all learning rates are 0: nothing would be trained")
        return self


def _only_the_last(data: dict[str, Any]) -> list[int]:
    return [data.get("steps", 1)]


class PretrainingSettings(Settings):
    """Masked language modelling on packed sentences."""

    corpus: Name
    models: list[str] | None = Field(default=None, min_length=1)
    """Names of the models to train (all of the run by default)."""
    languages: list[LanguageCode] | None = None
    """Languages of the corpus to train on (all of them by default)."""
    sampling_exponent: float = Field(default=1.0, gt=0, le=1)
    """alpha: a language's share of the sentences is p ~ n^alpha. Below 1, small languages are repeated and large ones cut to
    their first sentences; the number of sentences stays."""
    length: PositiveInt = 512
    """Tokens a sequence."""
    steps: PositiveInt = 4000
    checkpoints: list[PositiveInt] = Field(default_factory=_only_the_last, min_length=1)
    """Steps whose models are kept and scored, ascending; the last one must be `steps` (only that one by default)."""
    batch_size: PositiveInt = 8
    """Sequences a forward pass (a micro-batch)."""
    accumulation: PositiveInt = 64
    """Micro-batches an optimizer step, over all GPUs: effective batch = batch_size x accumulation."""
    learning_rates: LearningRates = LearningRates()
    weight_decay: float = Field(default=0.0, ge=0)
    """Not applied to biases and LayerNorms."""
    clip_norm: PositiveFloat = 1.0
    warmup_steps: int = Field(default=0, ge=0)
    mask_probability: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout rate everywhere in the model (the model's own rates by default)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights and optimizer are always float32. `auto`: bfloat16 on GPUs that have it, float32 on CPUs."""
    save_every: PositiveInt = 200
    """Optimizer steps between resumable checkpoints."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.checkpoints, self.checkpoints[1:], strict=False)):
            raise ValueError(f"checkpoints {self.checkpoints} must ascend")
        if self.checkpoints[-1] != self.steps:
            raise ValueError(f"the last of checkpoints {self.checkpoints} must be `steps`, {self.steps}")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be fewer than `steps`, {self.steps}")
        if self.languages is not None and len(set(self.languages)) < max(len(self.languages), 1):
            raise ValueError(f"languages {self.languages} must name at least one language, and none twice")
        return self
