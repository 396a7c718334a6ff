"""Settings of all tests: one thread, no network, and the places of things that a clone may lack."""

from __future__ import annotations

import os

from tests.checkout import finished, scratch

__all__ = ["finished", "scratch"]

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
