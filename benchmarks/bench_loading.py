"""Loading a saved model of RoBERTa-base's shape with 401,000 tokens at D' = 100."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Arrays, Case, benchmark, cached
from lexigraft.artifacts import Provenance, write_tensors, write_text
from lexigraft.modeling.classes import FactorizedRobertaConfig, FactorizedRobertaForMaskedLM
from lexigraft.modeling.load import load_model
from lexigraft.modeling.saving import weights_without_duplicates

TOKENS, RANK = 401_000, 100


@benchmark("loading a model of 401,000 tokens at D' = 100 (126.6 M parameters), its file verified", limit=5.0)
def loading(fraction: float) -> Case:
    tokens = round(TOKENS * fraction)
    folder = cached(f"roberta-{tokens}-{RANK}", lambda path: _make(path, tokens))

    def ours() -> Arrays:
        model = load_model(folder)
        return {"parameters": np.array(sum(parameter.numel() for parameter in model.parameters()))}

    return Case(ours)


def _make(folder: Path, tokens: int) -> None:
    torch.manual_seed(0)
    config = FactorizedRobertaConfig(
        vocab_size=tokens, factor_dim=RANK, max_position_embeddings=514, type_vocab_size=1, dtype="float32"
    )
    config.architectures = [FactorizedRobertaForMaskedLM.__name__]
    write_text(folder / "config.json", config.to_json_string())
    weights = weights_without_duplicates(FactorizedRobertaForMaskedLM(config))
    write_tensors(folder / "model.safetensors", weights, Provenance("initialized_model"))
