"""BERT."""

from lexigraft.modeling.families.family import Family, Table

_WORDS = "bert.embeddings.word_embeddings.weight"

FAMILY = Family(
    model_type="bert",
    config="transformers.models.bert.configuration_bert.BertConfig",
    base_model="transformers.models.bert.modeling_bert.BertModel",
    language_model="transformers.models.bert.modeling_bert.BertForMaskedLM",
    tables=(
        Table("input", _WORDS),
        Table("output", "cls.predictions.decoder.weight", bias="cls.predictions.bias", tied_to=_WORDS),
    ),
    head=("cls",),
    head_dense="cls.predictions.transform.dense",
    head_norm="cls.predictions.transform.LayerNorm",
    layers="encoder.layer",
    positions="bert.embeddings.position_embeddings.weight",
)
