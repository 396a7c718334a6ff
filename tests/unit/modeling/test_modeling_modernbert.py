"""A ModernBERT with the configuration that it has on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from modeling_cases import LONG, SIZES, grafted, plain_model, vocabulary, write_checkpoint
from transformers import AutoModelForMaskedLM

NAME = "modernbert"
# config.json of ModernBERT-base as it is on the hub, but for the sizes
HUB_CONFIG = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_pooling": "mean",
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "initializer_cutoff_factor": 2.0,
    "layer_norm_eps": 1e-05,
    "local_attention": 8,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 40,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "position_embedding_type": "absolute",
    "sep_token_id": 2,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "transformers_version": "4.47.0.dev0",
}


def test_a_configuration_of_the_hub(tmp_path: Path) -> None:
    plain = plain_model(NAME)
    checkpoint = write_checkpoint(tmp_path / "model", plain, NAME)
    ours = {key: value for key, value in SIZES.items() if key != "max_position_embeddings"}
    ids = {f"{role}_token_id": vocabulary(NAME).roles.index(role) for role in ("pad", "bos", "eos")}
    (checkpoint / "config.json").write_text(json.dumps({**HUB_CONFIG, **ours, **ids}))
    model, _ = grafted(checkpoint, tmp_path, np.arange(SIZES["vocab_size"]))
    torch.testing.assert_close(model(LONG).logits, plain(LONG).logits, rtol=1e-4, atol=1e-3)
    model.save_pretrained(tmp_path / "saved")
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(loaded(LONG).logits, model(LONG).logits, rtol=0, atol=0)
    assert loaded.config.layer_types == ["full_attention", "sliding_attention"]
