"""Settings of continual pre-training (CPT)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lexigraft.languages import LanguageCode
from lexigraft.pretraining.objectives import keys_of_objectives, registry
from lexigraft.settings import Name, Settings

if TYPE_CHECKING:

    class ObjectiveKeys(Settings):
        """The key that chooses an objective; the options of all objectives are there as well."""

        objective: str = "mlm"
else:
    ObjectiveKeys = keys_of_objectives()

Rate = Annotated[float, Field(ge=0)]


class LearningRates(Settings):
    """AdamW's peak learning rate of each parameter group; 0 freezes the group."""

    encoder: Rate = 5e-5
    primitives: Rate = 5e-5
    """P, the primitive embeddings (D' x D)."""
    coordinates: Rate = 5e-5
    """F, the coordinates (V x D'): entries of RMS 1/sqrt(V), so Adam moves them fast. In a model that is not factorized, its
    table of word embeddings."""
    head: Rate = 5e-5
    """Transform of the masked-language-modeling head, or an output layer that is not tied to the embeddings."""
    bias: Rate | None = None
    """The output bias (V); that of `head` by default."""

    def by_group(self) -> dict[str, float]:
        """Group -> rate, defaults resolved."""
        return {**self.model_dump(), "bias": self.head if self.bias is None else self.bias}

    @model_validator(mode="after")
    def _something_learns(self) -> Self:
        if not any(self.by_group().values()):
            raise ValueError("all learning rates are 0: nothing would be trained")
        return self


class PhaseRates(Settings):
    """Learning rates of one phase; groups that are not named keep those of `learning_rates`."""

    encoder: Rate | None = None
    primitives: Rate | None = None
    coordinates: Rate | None = None
    head: Rate | None = None
    bias: Rate | None = None


class Phase(Settings):
    """Some steps of training with learning rates of their own."""

    until: PositiveInt
    """Last step of the phase; that of the last phase must be `steps`."""
    learning_rates: PhaseRates = PhaseRates()


def _only_the_last(data: dict[str, Any]) -> list[int]:
    return [data.get("steps", 1)]


class PretrainingSettings(ObjectiveKeys):
    """Language modeling on packed sentences."""

    corpus: Name
    models: list[str] | None = Field(default=None, min_length=1)
    """Names of the models to train (all of the run by default)."""
    languages: list[LanguageCode] | None = None
    """Languages of the corpus to train on (all of them by default)."""
    max_sentences: PositiveInt | dict[LanguageCode, PositiveInt] | None = None
    """Use the first so many sentences of each language, or so many of each language that is named."""
    sampling_exponent: float = Field(default=1.0, gt=0, le=1)
    """alpha: a language's share of the sequences is p ~ n^alpha, n its number of sequences. Below 1, small languages are
    repeated and large ones take more epochs to be seen as a whole; 1 takes every sequence once per epoch."""
    length: PositiveInt = 512
    """Tokens per sequence."""
    buffer: PositiveInt = 1 << 16
    """Sequences that are shuffled together."""
    held_out_sequences: int = Field(default=16, ge=0)
    """Sequences of each language that are never trained on and measure its loss (at most one in twenty)."""
    evaluate_every: PositiveInt | None = None
    """Steps between measurements of the held-out loss (by default at step 0 and at each of `checkpoints`)."""
    steps: PositiveInt = 4000
    checkpoints: list[PositiveInt] = Field(default_factory=_only_the_last, min_length=1)
    """Steps whose models are kept and scored, ascending; the last one must be `steps` (only that one by default)."""
    batch_size: PositiveInt = 8
    """Sequences per forward pass (a micro-batch)."""
    accumulation: PositiveInt = 64
    """Micro-batches per optimizer step, over all GPUs: effective batch = batch_size x accumulation."""
    learning_rates: LearningRates = LearningRates()
    phases: list[Phase] | None = Field(default=None, min_length=1)
    """Parts of training with learning rates of their own, for example embeddings and head first, everything after."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rates fall to 0 after the warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Not applied to biases and LayerNorms."""
    clip_norm: PositiveFloat = 1.0
    warmup_steps: int = Field(default=0, ge=0)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout rate everywhere in the model (the model's own rates by default)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights and optimizer are always float32. `auto`: bfloat16 on GPUs that compute in it,
    float32 elsewhere."""
    attention: Literal["sdpa", "flash_attention_2", "eager"] | None = None
    """Implementation of attention: torch's own (`sdpa`) wherever the model has it by default; `flash_attention_2` needs its
    package and a GPU."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third slower."""
    compile: bool = False
    """Compile the encoder with torch.compile."""
    output_kernel: Literal["blocks", "liger", "cut_cross_entropy"] = "blocks"
    """Cross-entropy over the vocabulary: lexigraft's own in blocks, or a fused GPU kernel of another package."""
    save_every: PositiveInt = 200
    """Optimizer steps between resumable checkpoints."""
    save_minutes: PositiveFloat | None = 30.0
    """Minutes after which a checkpoint is written even before `save_every` steps are over."""
    tensorboard: bool = False
    """Write TensorBoard files next to the model's steps."""

    @property
    def phase_ends(self) -> list[int]:
        """Last step of each phase; without phases all of training is one."""
        return [phase.until for phase in self.phases] if self.phases else [self.steps]

    def rates_at(self, step: int) -> tuple[int, dict[str, float]]:
        """Number of the phase at a step, from 1, and its peak learning rate of each parameter group."""
        rates = self.learning_rates.by_group()
        for number, phase in enumerate(self.phases or (), start=1):
            if step <= phase.until:
                given = phase.learning_rates.model_dump(exclude_none=True)
                if "head" in given and "bias" not in given and self.learning_rates.bias is None:
                    given["bias"] = given["head"]
                return number, {**rates, **given}
        return 1, rates

    def limit_of(self, language: str) -> int | None:
        """How many sentences of a language are used; None for all."""
        if isinstance(self.max_sentences, dict):
            return self.max_sentences.get(language)
        return self.max_sentences

    def measured_at(self, step: int) -> bool:
        """Whether held-out losses are measured after a step."""
        due = step % self.evaluate_every == 0 if self.evaluate_every is not None else step == 0
        return self.held_out_sequences > 0 and (due or step in self.checkpoints)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.checkpoints)):
            raise ValueError(f"checkpoints {self.checkpoints} must ascend")
        if self.checkpoints[-1] != self.steps:
            raise ValueError(f"the last of checkpoints {self.checkpoints} must be `steps`, {self.steps}")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be fewer than `steps`, {self.steps}")
        if self.languages is not None and len(set(self.languages)) < max(len(self.languages), 1):
            raise ValueError(f"languages {self.languages} must name at least one language, and none twice")
        if self.attention == "flash_attention_2" and self.precision == "float32":
            raise ValueError("attention flash_attention_2 computes in 16 bits: it needs `precision: bfloat16`")
        if isinstance(self.max_sentences, dict) and self.languages is not None:
            unknown = sorted(set(self.max_sentences) - set(self.languages))
            if unknown:
                raise ValueError(f"max_sentences names {', '.join(unknown)}, which `languages` does not")
        return self

    @model_validator(mode="after")
    def _options_are_of_the_objective(self) -> Self:
        own = registry()[self.objective].model_fields
        for name, objective in registry().items():
            for option, field in objective.model_fields.items():
                if option not in own and getattr(self, option) != field.default:
                    raise ValueError(f"{option} is an option of another objective: it needs `objective: {name}`")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.phases is None:
            return self
        ends = self.phase_ends
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError(f"the ends of phases {ends} must ascend")
        if ends[-1] != self.steps:
            raise ValueError(f"the last of the phases ends at {ends[-1]}, which must be `steps`, {self.steps}")
        for number, end in enumerate(ends, start=1):
            if not any(self.rates_at(end)[1].values()):
                raise ValueError(f"phase {number} (until step {end}) freezes everything: all its learning rates are 0")
        return self
