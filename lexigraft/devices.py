"""The device that a stage computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexigraft.errors import ConfigError

if TYPE_CHECKING:
    import torch


def check_gpus(gpus: int) -> None:
    """Check that torch can use as many GPUs as a stage is given.

    Raises:
        ConfigError: it cannot.
    """
    import torch

    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > present:
        raise ConfigError(
            f"{gpus} GPUs are asked for, this machine has {present} that torch {torch.__version__} can use",
            where="gpus",
            hint="set `gpus` to 0 to train on the CPU, ask the cluster for more, or install torch for this driver",
        )


def device_for(gpus: int) -> torch.device:
    """The GPU, or with `gpus` 0 the CPU, of a stage that computes in one process.

    Raises:
        ConfigError: a GPU is asked for and torch can use none.
    """
    import torch

    check_gpus(min(gpus, 1))
    return torch.device("cuda" if gpus else "cpu")
