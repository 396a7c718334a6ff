"""Classes of the model families, generated from their data, and how the Auto classes of transformers find them.

transformers imports its Auto modules while it builds its own model and configuration classes, when nothing can be derived from
those yet. So a registered value only represents a class, and the class is made when it is first used; nothing of torch or
transformers is imported before:

1. `transformers.models.auto.configuration_auto` is imported -> the factorized configurations are registered by name;
2. one of them is used, which makes its class -> its models are registered;
3. one of these is used, which makes its class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

from lexigraft.modeling.families import PREFIX, families, family_of

if TYPE_CHECKING:
    from transformers.modeling_utils import PreTrainedModel

    from lexigraft.modeling.families.family import Family


def embedding_width(config: Any) -> int:
    """Width D of the word embeddings of a plain or factorized configuration."""
    width = family_of(config.model_type).width(vars(config))
    assert width is not None
    return width


def config_class(family: Family, *, factorized: bool) -> type[Any]:
    """Configuration of the plain models, or of those with E = F P and the key `factor_dim`."""
    return _factorized_config(family) if factorized else resolve_name(family.config)


def base_model_class(family: Family, *, factorized: bool) -> type[PreTrainedModel]:
    """The model without a head, plain or with E = F P."""
    return _model_class(resolve_name(family.base_model), family, factorized)


def language_model_class(family: Family, *, factorized: bool) -> type[PreTrainedModel]:
    """The language model, plain or with E = F P."""
    return _model_class(resolve_name(family.language_model), family, factorized)


@cache
def factorized_class(plain: type[PreTrainedModel], family: Family) -> type[PreTrainedModel]:
    """Return `plain`, any model class of a family (encoder, language model, classifier), with embeddings E = F P.

    It is built as usual, then its word embeddings and its output layer are replaced before weights are initialized or loaded.
    Tying, loading and saving are those of transformers.
    """
    from lexigraft.modeling.factorized import Factorized

    tied: dict[str, str] = {}
    for target, source in (plain._tied_weights_keys or {}).items():
        if source == family.table("input").weight:
            for name in ("coordinates", "primitives"):
                tied[target.removesuffix("weight") + name] = source.removesuffix("weight") + name
        else:
            tied[target] = source
    members = {
        "config_class": config_class(family, factorized=True),
        "factorized_class": staticmethod(lambda inner: factorized_class(inner, family)),
        "initializes_tables": family.initializes_tables,
        "_tied_weights_keys": tied or None,
        "__doc__": f"`{plain.__name__}` with word embeddings E = F P.",
        "__module__": __name__,
    }
    return type(f"Factorized{plain.__name__}", (Factorized, plain), members)


def _model_class(plain: Any, family: Family, factorized: bool) -> type[PreTrainedModel]:
    found: type[PreTrainedModel] = factorized_class(plain, family) if factorized else plain
    return found


@cache
def _factorized_config(family: Family) -> type[Any]:
    from huggingface_hub.dataclasses import strict

    plain = config_class(family, factorized=False)
    members = {
        "__annotations__": {"factor_dim": int},
        "factor_dim": 100,
        "model_type": PREFIX + family.model_type,
        "__doc__": f"`{plain.__name__}` with word embeddings E = F P of shapes (vocab_size, factor_dim) and (factor_dim, D).",
        "__module__": __name__,
    }
    made: type[Any] = strict(type(f"Factorized{plain.__name__}", (_FactorizedConfig, plain), members))
    wrapt.register_post_import_hook(partial(_register_models, family, made), "transformers.models.auto.modeling_auto")
    return made


class _FactorizedConfig:
    """What is checked of every configuration, by transformers, which calls all methods that begin with `validate_`."""

    def validate_factorization(self: Any) -> None:
        """Check D', the tying and the kind of head; raises ValueError."""
        family, width = family_of(self.model_type), embedding_width(self)
        if not 1 <= self.factor_dim <= width:
            name = next(key for key in family.width_keys if vars(self).get(key) == width)
            raise ValueError(f"factor_dim {self.factor_dim} must lie between 1 and {name} {width}")
        if not self.tie_word_embeddings:
            raise ValueError("tie_word_embeddings must be true: factorized models share F and P between input and output")
        for key, value in family.head_options:
            if getattr(self, key) != value:
                raise ValueError(
                    f"{key} must be {str(value).lower()}: name the head's weights {family.head[0]}.* (the source stage does)"
                )


def register(auto: ModuleType) -> None:
    """Register the factorized configurations; `auto` is `transformers.models.auto.configuration_auto`."""
    for family in families().values():
        auto.CONFIG_MAPPING.register(PREFIX + family.model_type, _later(config_class, family), exist_ok=True)


def _register_models(family: Family, config: type[Any], auto: ModuleType) -> None:
    # the mappings themselves: AutoModel.register would look into the class at once
    auto.MODEL_MAPPING.register(config, _later(base_model_class, family), exist_ok=True)
    language_models = {"masked": auto.MODEL_FOR_MASKED_LM_MAPPING}[family.kind]
    language_models.register(config, _later(language_model_class, family), exist_ok=True)


def _later(make: Callable[..., type[Any]], family: Family) -> object:
    return wrapt.LazyObjectProxy(partial(make, family, factorized=True), interface=type)


def __getattr__(name: str) -> type[Any]:
    """The generated classes by name, such as `FactorizedBertForMaskedLM`: pickle looks for them here."""
    for family in families().values():
        makers = {family.config: config_class, family.base_model: base_model_class, family.language_model: language_model_class}
        for plain, make in makers.items():
            if name == f"Factorized{plain.rpartition('.')[2]}":
                return make(family, factorized=True)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
