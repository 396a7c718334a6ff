"""Everything that a training process needs to know, in a form that travels as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import Settings
from lexigraft.training.checkpoints import Checkpoints


class Job(Settings):
    """A pre-training run.

    Attributes:
        model_folder: the model at step 0.
        data_paths: the packed sequences, one file per language; their order is part of the result.
        vocabulary_path: `vocabulary.parquet` of the model's tokenizer.
        folder, tensorboard_folder: where checkpoints are, and where TensorBoard files go, if they are wanted.
        start: step of the checkpoint to continue from, 0 for none.
        seed: of order, masking and dropout.
        processes: on each machine, one per GPU; their number changes the result by rounding only.
        threads: of each process.
        fingerprint: digests of all that decides the result, by name.
    """

    settings: PretrainingSettings
    model_folder: Path
    data_paths: list[Path]
    vocabulary_path: Path
    folder: Path
    tensorboard_folder: Path
    start: NonNegativeInt
    seed: NonNegativeInt
    device: Literal["cpu", "cuda"]
    processes: PositiveInt
    machines: PositiveInt = 1
    threads: PositiveInt
    fingerprint: dict[str, str]

    @property
    def stop_file(self) -> Path:
        """A file that asks training to write a checkpoint and stop."""
        return self.folder / "stop"

    @property
    def tokens_per_step(self) -> int:
        """Positions of an effective batch."""
        return self.settings.batch_size * self.settings.accumulation * self.settings.length

    def checkpoints(self) -> Checkpoints:
        """The resumable state of the run."""
        return Checkpoints(self.folder, self.fingerprint, self.settings.save_minutes)
