"""Code that a test runs in a Python process of its own, and what happens to it there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def python(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with this process's modules and search path on one thread, and return its exit code and output."""
    ours = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=ours, capture_output=True, text=True, check=False)


def at_pass(number: int, counts: Callable[[Any], bool], act: Callable[[], Any]) -> Any:
    """Call `act` in the forward pass of that number of the modules that count; returns torch's handle of the hook."""
    from torch.nn.modules.module import register_module_forward_hook

    passes = 0

    def count(module: object, _args: object, _output: object) -> None:
        nonlocal passes
        passes += bool(counts(module))
        if passes == number and counts(module):
            act()

    return register_module_forward_hook(count)
