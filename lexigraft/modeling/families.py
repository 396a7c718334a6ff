"""Model families that can be grafted, and their classes with factorised word embeddings.

A class is made from a class of transformers by `factorize`: it is built as ever, then its word embeddings and its output layer
are replaced before weights are initialised or loaded. Tying, loading and saving are transformers' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM, BertModel
from transformers.models.roberta.configuration_roberta import RobertaConfig
from transformers.models.roberta.modeling_roberta import RobertaForMaskedLM, RobertaModel
from transformers.models.xlm_roberta.configuration_xlm_roberta import XLMRobertaConfig
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaForMaskedLM, XLMRobertaModel

from lexigraft.errors import InputError, nearest
from lexigraft.modeling.configs import FactorizedBertConfig, FactorizedRobertaConfig, FactorizedXLMRobertaConfig
from lexigraft.modeling.factorized import FactorizedDecoder, FactorizedEmbedding

PREFIX = "lexigraft-"


class Factorized:
    """Mixed into a transformers class, before it: F and P take the place of the word embeddings and of the output layer."""

    def post_init(self: Any) -> None:
        """Replace the tables, then do what transformers does at the end of building a model: initialise and tie weights."""
        encoder = self.base_model
        if not isinstance(encoder, Factorized):
            # transformers initialises the modules of an inner model by that model's class, so it must know F and P as well
            encoder.__class__ = factorize(encoder.__class__, self.config.__class__)
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
        else:
            super()._init_weights(module)  # type: ignore[misc]

    def resize_token_embeddings(
        self: Any, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, **_options: object
    ) -> nn.Module:
        """Refuse: new rows of F would have to be made by an initialiser.

        Raises:
            InputError: unless called without a size, which returns the embeddings as ever.
        """
        if new_num_tokens is None and pad_to_multiple_of is None:
            embedding: nn.Module = self.get_input_embeddings()
            return embedding
        raise InputError(
            "the vocabulary of a model with factorised embeddings cannot be resized",
            hint="graft it onto a tokenizer with the tokens you need, or `lexigraft export` it and resize the plain model",
        )


@cache
def factorize(plain: type[PreTrainedModel], config_class: type[Any]) -> type[PreTrainedModel]:
    """Return `plain`, any model class of a family (encoder, masked language model, classifier), with factorised embeddings.

    Args:
        plain: a class of transformers.
        config_class: the family's configuration with `embedding_rank`.
    """
    tied: dict[str, str] = {}
    for target, source in (plain._tied_weights_keys or {}).items():
        if source.endswith("word_embeddings.weight"):
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


@dataclass(frozen=True, slots=True)
class Family:
    """Classes of a model family and where its weights are, as named in the masked language model.

    Attributes:
        name: `model_type` of the plain model; that of the factorised one is `lexigraft-` + name.
        plain_config, plain_masked_lm: classes of transformers.
        config, model, masked_lm: their counterparts with factorised embeddings.
        embedding: module of the word embeddings.
        positions: parameter with the position embeddings.
        head: module that turns hidden states into logits.
        dense, norm: modules of the head's transform.
        bias: parameter with the output bias.
        positions_follow_padding: positions count from the padding id + 1 (as fairseq does), not from 0.
    """

    name: str
    plain_config: type[Any]
    plain_masked_lm: type[PreTrainedModel]
    config: type[Any]
    model: type[PreTrainedModel]
    masked_lm: type[PreTrainedModel]
    embedding: str
    positions: str
    head: str
    dense: str
    norm: str
    bias: str
    positions_follow_padding: bool


_BERT = Family(
    name="bert",
    plain_config=BertConfig,
    plain_masked_lm=BertForMaskedLM,
    config=FactorizedBertConfig,
    model=FactorizedBertModel,
    masked_lm=FactorizedBertForMaskedLM,
    embedding="bert.embeddings.word_embeddings",
    positions="bert.embeddings.position_embeddings.weight",
    head="cls",
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    positions_follow_padding=False,
)
_ROBERTA = Family(
    name="roberta",
    plain_config=RobertaConfig,
    plain_masked_lm=RobertaForMaskedLM,
    config=FactorizedRobertaConfig,
    model=FactorizedRobertaModel,
    masked_lm=FactorizedRobertaForMaskedLM,
    embedding="roberta.embeddings.word_embeddings",
    positions="roberta.embeddings.position_embeddings.weight",
    head="lm_head",
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    positions_follow_padding=True,
)
_XLM_ROBERTA = Family(
    name="xlm-roberta",
    plain_config=XLMRobertaConfig,
    plain_masked_lm=XLMRobertaForMaskedLM,
    config=FactorizedXLMRobertaConfig,
    model=FactorizedXLMRobertaModel,
    masked_lm=FactorizedXLMRobertaForMaskedLM,
    embedding="roberta.embeddings.word_embeddings",
    positions="roberta.embeddings.position_embeddings.weight",
    head="lm_head",
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    positions_follow_padding=True,
)
FAMILIES = {family.name: family for family in (_BERT, _ROBERTA, _XLM_ROBERTA)}


def family_of(model_type: str, where: object = None) -> Family:
    """Return the family of a plain or factorised `model_type`.

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


def count_parameters(config: Any) -> int:
    """Number of parameters of the factorised masked language model of `config`, shared ones counted once.

    The model is built on the meta device, so no memory is used.
    """
    with torch.device("meta"):
        model = family_of(config.model_type).masked_lm(config)
    return sum(parameter.numel() for parameter in model.parameters())
