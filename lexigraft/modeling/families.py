"""Model families that can be grafted, and their classes with factorized word embeddings.

A class is made from a class of transformers by `factorize`: it is built as ever, then its word embeddings and its output layer
are replaced before weights are initialized or loaded. Tying, loading and saving are transformers' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import initialization
from transformers.modeling_utils import PreTrainedModel
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM, BertModel
from transformers.models.deberta_v2.configuration_deberta_v2 import DebertaV2Config
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2ForMaskedLM, DebertaV2Model
from transformers.models.modernbert.configuration_modernbert import ModernBertConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertEmbeddings, ModernBertForMaskedLM, ModernBertModel
from transformers.models.roberta.configuration_roberta import RobertaConfig
from transformers.models.roberta.modeling_roberta import RobertaForMaskedLM, RobertaModel
from transformers.models.xlm_roberta.configuration_xlm_roberta import XLMRobertaConfig
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaForMaskedLM, XLMRobertaModel
from transformers.utils.output_capturing import _CAN_RECORD_REGISTRY

from lexigraft.errors import InputError, nearest
from lexigraft.modeling.configs import (
    FactorizedBertConfig,
    FactorizedDebertaV2Config,
    FactorizedModernBertConfig,
    FactorizedRobertaConfig,
    FactorizedXLMRobertaConfig,
)
from lexigraft.modeling.factorized import FactorizedDecoder, FactorizedEmbedding

PREFIX = "lexigraft-"


class Factorized:
    """Mixed into a transformers class, before it: F and P take the place of the word embeddings and of the output layer."""

    def post_init(self: Any) -> None:
        """Replace the tables, then do what transformers does at the end of building a model: initialize and tie weights."""
        encoder = self.base_model
        if not isinstance(encoder, Factorized):
            # transformers initializes the modules of an inner model by that model's class, so it must know F and P as well
            encoder.__class__ = factorize(encoder.__class__, self.config.__class__)
            # what `output_hidden_states` and `output_attentions` record is known by class, and was noted of the plain one
            _CAN_RECORD_REGISTRY[encoder] = encoder._can_record_outputs
        plain = self.get_input_embeddings()
        embedding = FactorizedEmbedding(
            plain.num_embeddings, self.config.embedding_rank, plain.embedding_dim, plain.padding_idx
        )
        self.set_input_embeddings(embedding)
        output = self.get_output_embeddings()
        if output is not None:
            self.set_output_embeddings(FactorizedDecoder(embedding, output.bias))
        super().post_init()  # type: ignore[misc]

    def _init_weights(self: Any, module: nn.Module) -> None:
        if isinstance(module, FactorizedEmbedding):
            module.reset_parameters(self.config.initializer_range)
        elif isinstance(module, FactorizedDecoder):
            if module.bias is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, ModernBertEmbeddings | ModernBertForMaskedLM):
            pass  # ModernBERT fills the weights of its tables from here, and they have none now
        else:
            super()._init_weights(module)  # type: ignore[misc]

    def resize_token_embeddings(
        self: Any, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, **_options: object
    ) -> nn.Module:
        """Refuse: new rows of F would have to be made by an initializer.

        Raises:
            InputError: unless called without a size, which returns the embeddings as ever.
        """
        if new_num_tokens is None and pad_to_multiple_of is None:
            embedding: nn.Module = self.get_input_embeddings()
            return embedding
        raise InputError(
            "the vocabulary of a model with factorized embeddings cannot be resized",
            hint="graft it onto a tokenizer with the tokens you need, or `lexigraft export` it and resize the plain model",
        )


@cache
def factorize(plain: type[PreTrainedModel], config_class: type[Any]) -> type[PreTrainedModel]:
    """Return `plain`, any model class of a family (encoder, masked language model, classifier), with factorized embeddings.

    Args:
        plain: a class of transformers.
        config_class: the family's configuration with `embedding_rank`.
    """
    tied: dict[str, str] = {}
    for target, source in (plain._tied_weights_keys or {}).items():
        if source.endswith(("word_embeddings.weight", "tok_embeddings.weight")):
            for name in ("coordinates", "primitives"):
                tied[target.removesuffix("weight") + name] = source.removesuffix("weight") + name
        else:
            tied[target] = source
    members = {
        "config_class": config_class,
        "_tied_weights_keys": tied or None,
        "__doc__": f"`{plain.__name__}` with word embeddings E = F P.",
        "__module__": __name__,
    }
    return type(f"Factorized{plain.__name__}", (Factorized, plain), members)


FactorizedBertModel = factorize(BertModel, FactorizedBertConfig)
FactorizedBertForMaskedLM = factorize(BertForMaskedLM, FactorizedBertConfig)
FactorizedRobertaModel = factorize(RobertaModel, FactorizedRobertaConfig)
FactorizedRobertaForMaskedLM = factorize(RobertaForMaskedLM, FactorizedRobertaConfig)
FactorizedXLMRobertaModel = factorize(XLMRobertaModel, FactorizedXLMRobertaConfig)
FactorizedXLMRobertaForMaskedLM = factorize(XLMRobertaForMaskedLM, FactorizedXLMRobertaConfig)
FactorizedModernBertModel = factorize(ModernBertModel, FactorizedModernBertConfig)
FactorizedModernBertForMaskedLM = factorize(ModernBertForMaskedLM, FactorizedModernBertConfig)
FactorizedDebertaV2Model = factorize(DebertaV2Model, FactorizedDebertaV2Config)
FactorizedDebertaV2ForMaskedLM = factorize(DebertaV2ForMaskedLM, FactorizedDebertaV2Config)


@dataclass(frozen=True, slots=True)
class Family:
    """Classes of a model family and where its weights are, as named in the masked language model.

    Attributes:
        name: `model_type` of the plain model; that of the factorized one is `lexigraft-` + name.
        plain_config, plain_masked_lm: classes of transformers.
        config, model, masked_lm: their counterparts with factorized embeddings.
        embedding: module of the word embeddings.
        head: modules that turn hidden states into logits, one after the other.
        dense, norm: modules of the head's transform.
        bias: parameter with the output bias.
        positions: parameter with position embeddings that are counted from the padding id; None where there are none such.
        layers: list of layers in the encoder (`base_model`).
        final_norm: module behind the last layer, in the encoder; None where each layer ends with its own.
        added_head: options of the configuration that a head which is added to a model without one needs.
    """

    name: str
    plain_config: type[Any]
    plain_masked_lm: type[PreTrainedModel]
    config: type[Any]
    model: type[PreTrainedModel]
    masked_lm: type[PreTrainedModel]
    embedding: str
    head: tuple[str, ...]
    dense: str
    norm: str
    bias: str
    positions: str | None = None
    layers: str = "encoder.layer"
    final_norm: str | None = None
    added_head: Mapping[str, bool] = field(default_factory=dict)

    @property
    def positions_follow_padding(self) -> bool:
        """Whether positions count from the padding id + 1 (as fairseq does), not from 0."""
        return self.positions is not None

    def in_head(self, name: str) -> bool:
        """Whether a parameter of the masked language model belongs to its head."""
        return name.startswith(tuple(f"{module}." for module in self.head))


_BERT = Family(
    name="bert",
    plain_config=BertConfig,
    plain_masked_lm=BertForMaskedLM,
    config=FactorizedBertConfig,
    model=FactorizedBertModel,
    masked_lm=FactorizedBertForMaskedLM,
    embedding="bert.embeddings.word_embeddings",
    head=("cls",),
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
)
_ROBERTA = Family(
    name="roberta",
    plain_config=RobertaConfig,
    plain_masked_lm=RobertaForMaskedLM,
    config=FactorizedRobertaConfig,
    model=FactorizedRobertaModel,
    masked_lm=FactorizedRobertaForMaskedLM,
    embedding="roberta.embeddings.word_embeddings",
    head=("lm_head",),
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    positions="roberta.embeddings.position_embeddings.weight",
)
_XLM_ROBERTA = replace(
    _ROBERTA,
    name="xlm-roberta",
    plain_config=XLMRobertaConfig,
    plain_masked_lm=XLMRobertaForMaskedLM,
    config=FactorizedXLMRobertaConfig,
    model=FactorizedXLMRobertaModel,
    masked_lm=FactorizedXLMRobertaForMaskedLM,
)
_MODERNBERT = Family(
    name="modernbert",
    plain_config=ModernBertConfig,
    plain_masked_lm=ModernBertForMaskedLM,
    config=FactorizedModernBertConfig,
    model=FactorizedModernBertModel,
    masked_lm=FactorizedModernBertForMaskedLM,
    embedding="model.embeddings.tok_embeddings",
    head=("head", "decoder"),
    dense="head.dense",
    norm="head.norm",
    bias="decoder.bias",
    layers="layers",
    final_norm="final_norm",
    added_head={"classifier_bias": True, "decoder_bias": True},
)
_DEBERTA_V2 = replace(
    _BERT,
    name="deberta-v2",
    plain_config=DebertaV2Config,
    plain_masked_lm=DebertaV2ForMaskedLM,
    config=FactorizedDebertaV2Config,
    model=FactorizedDebertaV2Model,
    masked_lm=FactorizedDebertaV2ForMaskedLM,
    embedding="deberta.embeddings.word_embeddings",
)
FAMILIES = {family.name: family for family in (_BERT, _ROBERTA, _XLM_ROBERTA, _MODERNBERT, _DEBERTA_V2)}


def family_of(model_type: str, where: object = None) -> Family:
    """Return the family of a plain or factorized `model_type`.

    Raises:
        InputError: models of this type cannot be grafted.
    """
    name = model_type.removeprefix(PREFIX)
    if name not in FAMILIES:
        raise InputError(
            f"models of type {model_type!r} cannot be grafted: {nearest(name, FAMILIES)}",
            where=where,
            hint="name a source model of one of these types",
        )
    return FAMILIES[name]


def check_kind(config: Mapping[str, Any], where: object) -> None:
    """Raise InputError if a model of a supported family is of a kind that its grafted counterpart cannot be."""
    if not config.get("tie_word_embeddings", True):
        problem, hint = "output layer is not tied to its word embeddings", "tied ones (tie_word_embeddings: true)"
    elif config.get("position_embedding_type", "absolute") != "absolute":
        problem, hint = f"position embeddings are {config['position_embedding_type']!r}", "absolute position embeddings"
    else:
        return
    raise InputError(f"the source model's {problem}", where=where, hint=f"use a model with {hint}")


def count_parameters(config: Any) -> int:
    """Number of parameters of the masked language model of `config`, plain or factorized, shared ones counted once.

    The model is built on the meta device, so no memory is used.
    """
    family = family_of(config.model_type)
    with torch.device("meta"):
        model = (family.masked_lm if config.model_type.startswith(PREFIX) else family.plain_masked_lm)(config)
    return sum(parameter.numel() for parameter in model.parameters())
