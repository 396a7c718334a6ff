"""ModernBERT: rotary positions, LayerNorms and an output layer whose biases are options."""

from lexigraft.modeling.families.family import Family, Table

_WORDS = "model.embeddings.tok_embeddings.weight"

FAMILY = Family(
    model_type="modernbert",
    config="transformers.models.modernbert.configuration_modernbert.ModernBertConfig",
    base_model="transformers.models.modernbert.modeling_modernbert.ModernBertModel",
    language_model="transformers.models.modernbert.modeling_modernbert.ModernBertForMaskedLM",
    tables=(Table("input", _WORDS), Table("output", "decoder.weight", bias="decoder.bias", tied_to=_WORDS)),
    head=("head", "decoder"),
    head_dense="head.dense",
    head_norm="head.norm",
    layers="layers",
    final_norm="final_norm",
    output_bias_key="decoder_bias",
    norm_bias_key="norm_bias",
    added_head_options=(("classifier_bias", True), ("decoder_bias", True)),
    classifiers_share_head=True,
    initializes_tables=("ModernBertEmbeddings", "ModernBertForMaskedLM"),
)
