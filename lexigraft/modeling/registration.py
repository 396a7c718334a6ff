"""Tell transformers' Auto classes about the factorized models, in steps that import nothing before its time.

transformers imports its Auto modules while it builds its own model and configuration classes, when nothing can be derived from
those yet. So a registered value only stands for a class, and becomes it when it is first used:

1. `transformers.models.auto.configuration_auto` is imported -> the configurations are registered by name;
2. one of them is used, which imports `lexigraft.modeling.configs` -> the models are registered by name;
3. one of them is used, which imports `lexigraft.modeling.families`.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import wrapt

_STEMS = {
    "lexigraft-bert": "FactorizedBert",
    "lexigraft-roberta": "FactorizedRoberta",
    "lexigraft-xlm-roberta": "FactorizedXLMRoberta",
    "lexigraft-modernbert": "FactorizedModernBert",
    "lexigraft-deberta-v2": "FactorizedDebertaV2",
}


def register_configs(auto: ModuleType) -> None:
    """Register the configurations; `auto` is `transformers.models.auto.configuration_auto`."""
    for model_type, stem in _STEMS.items():
        auto.CONFIG_MAPPING.register(model_type, _later("lexigraft.modeling.configs", f"{stem}Config"), exist_ok=True)


def register_models(auto: ModuleType, configs: Iterable[Any]) -> None:
    """Register the models of `configs`, classes; `auto` is `transformers.models.auto.modeling_auto`."""
    for config in configs:
        stem = _STEMS[config.model_type]
        # the mappings themselves: AutoModel.register would look into the class at once
        auto.MODEL_MAPPING.register(config, _later("lexigraft.modeling.families", f"{stem}Model"), exist_ok=True)
        masked_lm = _later("lexigraft.modeling.families", f"{stem}ForMaskedLM")
        auto.MODEL_FOR_MASKED_LM_MAPPING.register(config, masked_lm, exist_ok=True)


def _later(module: str, name: str) -> object:
    return wrapt.lazy_import(module, name, interface=type)
