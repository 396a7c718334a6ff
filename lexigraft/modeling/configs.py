"""Configurations of models with factorised embeddings. No torch is needed to read them."""

from __future__ import annotations

from typing import Any

import wrapt
from huggingface_hub.dataclasses import strict
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.roberta.configuration_roberta import RobertaConfig
from transformers.models.xlm_roberta.configuration_xlm_roberta import XLMRobertaConfig

from lexigraft.modeling.registration import register_models


def _check(config: Any) -> None:
    if not 1 <= config.embedding_rank <= config.hidden_size:
        raise ValueError(f"embedding_rank {config.embedding_rank} must lie between 1 and hidden_size {config.hidden_size}")
    if not config.tie_word_embeddings:
        raise ValueError("tie_word_embeddings must be true: factorised models share F and P between input and output")


@strict
class FactorizedBertConfig(BertConfig):  # type: ignore[no-untyped-call]
    """A BERT whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-bert"

    embedding_rank: int = 100

    def validate_factorization(self) -> None:
        """Check the rank and the tying; raises ValueError."""
        _check(self)


@strict
class FactorizedRobertaConfig(RobertaConfig):  # type: ignore[no-untyped-call]
    """A RoBERTa whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-roberta"

    embedding_rank: int = 100

    def validate_factorization(self) -> None:
        """Check the rank and the tying; raises ValueError."""
        _check(self)


@strict
class FactorizedXLMRobertaConfig(XLMRobertaConfig):  # type: ignore[no-untyped-call]
    """An XLM-R whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-xlm-roberta"

    embedding_rank: int = 100

    def validate_factorization(self) -> None:
        """Check the rank and the tying; raises ValueError."""
        _check(self)


CONFIGS = (FactorizedBertConfig, FactorizedRobertaConfig, FactorizedXLMRobertaConfig)
wrapt.register_post_import_hook(lambda auto: register_models(auto, CONFIGS), "transformers.models.auto.modeling_auto")
