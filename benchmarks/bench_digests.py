"""What the digests of code add to the parsing of the workflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harness import Arrays, Case, benchmark
from lexigraft.workflow import code_digests as digests

ROOT = Path(__file__).parents[1]


@benchmark("digests of code and lock of all stages, nothing read before", limit=0.3)
def code_digests(fraction: float) -> Case:
    scripts = sorted((ROOT / "workflow_scripts").glob("*.py"))
    some = scripts[: max(1, round(len(scripts) * fraction))]

    def ours() -> Arrays:
        digests.forget()
        found = [digests.code_digest(script) for script in some]
        found.append(digests.lock_digest(ROOT / "requirements.lock"))
        return {"digests": np.array(found)}

    return Case(ours)
