"""Everything that a training process is told, in a form that travels as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import Settings


class Job(Settings):
    """A pre-training run.

    Attributes:
        settings: of the run.
        model_folder: the model at step 0.
        data_path: the packed sequences.
        vocabulary_path: vocabulary of the model's tokenizer.
        folder: where checkpoints and the unpacked sequences are kept.
        start: step of the checkpoint to go on from, 0 for none.
        seed: of order, masking and dropout.
        device: kind of device.
        processes: number of processes, one a GPU; their number changes the result by rounding only.
        threads: of each process.
        fingerprint: digests of all that decides the result, by name.
    """

    settings: PretrainingSettings
    model_folder: Path
    data_path: Path
    vocabulary_path: Path
    folder: Path
    start: NonNegativeInt
    seed: NonNegativeInt
    device: Literal["cpu", "cuda"]
    processes: PositiveInt
    threads: PositiveInt
    fingerprint: dict[str, str]
