"""DeBERTa v2 and v3: word embeddings that may be narrow, and two heads that compute the same under different names.

Published checkpoints hold `lm_predictions.lm_head`, which transformers uses with `legacy: false`. It computes
LayerNorm(act(dense x)) W^T + bias, as the legacy head `cls.predictions` does.
"""

from lexigraft.modeling.families.family import Family, Table

_WORDS = "deberta.embeddings.word_embeddings.weight"

FAMILY = Family(
    model_type="deberta-v2",
    config="transformers.models.deberta_v2.configuration_deberta_v2.DebertaV2Config",
    base_model="transformers.models.deberta_v2.modeling_deberta_v2.DebertaV2Model",
    language_model="transformers.models.deberta_v2.modeling_deberta_v2.DebertaV2ForMaskedLM",
    tables=(
        Table("input", _WORDS),
        Table("output", "cls.predictions.decoder.weight", bias="cls.predictions.bias", tied_to=_WORDS),
    ),
    head=("cls",),
    head_dense="cls.predictions.transform.dense",
    head_norm="cls.predictions.transform.LayerNorm",
    layers="encoder.layer",
    positions="deberta.embeddings.position_embeddings.weight",
    width_keys=("embedding_size", "hidden_size"),
    head_options=(("legacy", True),),
    renamed_head=(
        ("lm_predictions.lm_head.bias", "cls.predictions.bias"),
        ("lm_predictions.lm_head.", "cls.predictions.transform."),
    ),
)
