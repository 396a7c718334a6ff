"""RoBERTa."""

from lexigraft.modeling.families.family import Family, Table

_WORDS = "roberta.embeddings.word_embeddings.weight"

FAMILY = Family(
    model_type="roberta",
    config="transformers.models.roberta.configuration_roberta.RobertaConfig",
    base_model="transformers.models.roberta.modeling_roberta.RobertaModel",
    language_model="transformers.models.roberta.modeling_roberta.RobertaForMaskedLM",
    tables=(Table("input", _WORDS), Table("output", "lm_head.decoder.weight", bias="lm_head.bias", tied_to=_WORDS)),
    head=("lm_head",),
    head_dense="lm_head.dense",
    head_norm="lm_head.layer_norm",
    layers="encoder.layer",
    positions="roberta.embeddings.position_embeddings.weight",
    positions_from_padding=1,
)
