"""XLM-R: RoBERTa's architecture under names of its own."""

from dataclasses import replace

from lexigraft.modeling.families import roberta

FAMILY = replace(
    roberta.FAMILY,
    model_type="xlm-roberta",
    config="transformers.models.xlm_roberta.configuration_xlm_roberta.XLMRobertaConfig",
    base_model="transformers.models.xlm_roberta.modeling_xlm_roberta.XLMRobertaModel",
    language_model="transformers.models.xlm_roberta.modeling_xlm_roberta.XLMRobertaForMaskedLM",
)
