"""Configurations of models with factorized embeddings. No torch is needed to read them."""

from __future__ import annotations

from typing import Any

import wrapt
from huggingface_hub.dataclasses import strict
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.deberta_v2.configuration_deberta_v2 import DebertaV2Config
from transformers.models.modernbert.configuration_modernbert import ModernBertConfig
from transformers.models.roberta.configuration_roberta import RobertaConfig
from transformers.models.xlm_roberta.configuration_xlm_roberta import XLMRobertaConfig

from lexigraft.modeling.registration import register_models


def embedding_width(config: Any) -> int:
    """Width D of the word embeddings of a plain or factorized configuration: the hidden width, but in some DeBERTas."""
    if config.model_type.endswith("deberta-v2"):
        return int(getattr(config, "embedding_size", config.hidden_size))
    return int(config.hidden_size)


class _Factorized:
    """What is checked of every configuration, by transformers, which calls all methods that begin with `validate_`."""

    def validate_factorization(self: Any) -> None:
        """Check the rank and the tying; raises ValueError."""
        width = embedding_width(self)
        name = "hidden_size" if width == self.hidden_size else "embedding_size"
        if not 1 <= self.embedding_rank <= width:
            raise ValueError(f"embedding_rank {self.embedding_rank} must lie between 1 and {name} {width}")
        if not self.tie_word_embeddings:
            raise ValueError("tie_word_embeddings must be true: factorized models share F and P between input and output")


@strict
class FactorizedBertConfig(_Factorized, BertConfig):  # type: ignore[no-untyped-call]
    """A BERT whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-bert"

    embedding_rank: int = 100


@strict
class FactorizedRobertaConfig(_Factorized, RobertaConfig):  # type: ignore[no-untyped-call]
    """A RoBERTa whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-roberta"

    embedding_rank: int = 100


@strict
class FactorizedXLMRobertaConfig(_Factorized, XLMRobertaConfig):  # type: ignore[no-untyped-call]
    """An XLM-R whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-xlm-roberta"

    embedding_rank: int = 100


@strict
class FactorizedModernBertConfig(_Factorized, ModernBertConfig):  # type: ignore[no-untyped-call]
    """A ModernBERT whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, hidden_size)."""

    model_type = "lexigraft-modernbert"

    embedding_rank: int = 100


@strict
class FactorizedDebertaV2Config(_Factorized, DebertaV2Config):  # type: ignore[no-untyped-call]
    """A DeBERTa (v2, v3) whose word embeddings are the product of (vocab_size, embedding_rank) and (embedding_rank, D).

    D is `embedding_size` where there is one, else `hidden_size`. The masked-language-modeling head is the one that
    transformers calls legacy; the other one computes the same from weights of other names.
    """

    model_type = "lexigraft-deberta-v2"

    embedding_rank: int = 100

    def validate_factorization(self) -> None:
        """Check the rank, the tying and the kind of head; raises ValueError."""
        super().validate_factorization()
        if not self.legacy:
            raise ValueError("legacy must be true: name the head's weights cls.predictions.* (the source stage does)")


CONFIGS = (
    FactorizedBertConfig,
    FactorizedRobertaConfig,
    FactorizedXLMRobertaConfig,
    FactorizedModernBertConfig,
    FactorizedDebertaV2Config,
)
wrapt.register_post_import_hook(lambda auto: register_models(auto, CONFIGS), "transformers.models.auto.modeling_auto")
