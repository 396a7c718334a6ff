"""The device of a stage's computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexigraft.errors import ConfigError

if TYPE_CHECKING:
    import torch


def check_gpus(gpus: int) -> None:
    """Check that torch can use `gpus` GPUs.

    Raises:
        ConfigError: it cannot.
    """
    import torch

    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > present:
        raise ConfigError(
            f"{gpus} GPUs are asked for, this machine has {present} that torch {torch.__version__} can use",
            where="gpus",
            hint="set `gpus` to 0 to compute on the CPU, ask the cluster for more, or install torch for this driver",
        )


def device_for(gpus: int) -> torch.device:
    """The device of a stage that computes in one process: the GPU, or the CPU if `gpus` is 0.

    Raises:
        ConfigError: a GPU is requested and torch can use none.
    """
    import torch

    check_gpus(min(gpus, 1))
    return torch.device("cuda" if gpus else "cpu")
