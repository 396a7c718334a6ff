"""Classes of the model families, generated from their data, and how the Auto classes of transformers find them.

transformers imports its Auto modules while it builds its own model and configuration classes, when nothing can be derived from
those yet. So a registered value only represents a class, and the class is made when it is first used; nothing of torch or
transformers is imported before:

1. `transformers.models.auto.configuration_auto` is imported -> the factorized configurations are registered by name;
2. one of them is used, which makes its class -> its models are registered;
3. one of these is used, which makes its class.
"""

from __future__ import annotations

from functools import cache, partial, partialmethod
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import wrapt

from lexigraft.modeling.families import PREFIX, families, family_of

if TYPE_CHECKING:
    from transformers.modeling_utils import PreTrainedModel

    from lexigraft.modeling.families.family import Family

Which = Literal["config", "base_model", "language_model"]


def embedding_width(config: Any) -> int:
    """Width D of the word embeddings of a plain or factorized configuration."""
    width = family_of(config.model_type).limits(vars(config)).width
    assert width is not None
    return width


def class_of(family: Family, which: Which, *, factorized: bool) -> type[Any]:
    """A class of a family: the configuration, the model without a head or the language model, plain or with E = F P."""
    plain: Any = resolve_name(getattr(family, which))
    make = _factorized_config if which == "config" else factorized_class
    found: type[Any] = make(plain, family) if factorized else plain
    return found


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
        "config_class": class_of(family, "config", factorized=True),
        "factorized_class": staticmethod(lambda inner: factorized_class(inner, family)),
        "initializes_tables": family.initializes_tables,
        "_tied_weights_keys": tied or None,
        "__doc__": f"`{plain.__name__}` with word embeddings E = F P.",
        "__module__": __name__,
    }
    return type(f"Factorized{plain.__name__}", (Factorized, plain), members)


@cache
def _factorized_config(plain: type[Any], family: Family) -> type[Any]:
    from huggingface_hub.dataclasses import strict

    members = {
        "__annotations__": {"factor_dim": int},
        "factor_dim": 100,
        "model_type": PREFIX + family.model_type,
        # transformers calls all methods that begin with `validate_`
        "validate_factorization": partialmethod(_validate, family),
        "__doc__": f"`{plain.__name__}` with word embeddings E = F P of shapes (vocab_size, factor_dim) and (factor_dim, D).",
        "__module__": __name__,
    }
    made: type[Any] = strict(type(f"Factorized{plain.__name__}", (plain,), members))
    wrapt.register_post_import_hook(partial(_register_models, family, made), "transformers.models.auto.modeling_auto")
    return made


def _validate(config: Any, family: Family) -> None:
    """Check D', the tying and the kind of head; raises ValueError."""
    width = embedding_width(config)
    if not 1 <= config.factor_dim <= width:
        name = next(key for key in family.width_keys if vars(config).get(key) == width)
        raise ValueError(f"factor_dim {config.factor_dim} must lie between 1 and {name} {width}")
    if not config.tie_word_embeddings:
        raise ValueError("tie_word_embeddings must be true: factorized models share F and P between input and output")
    for key, value in family.head_options:
        if getattr(config, key) != value:
            names = f"name the head's weights {family.head[0]}.* (the source stage does)"
            raise ValueError(f"{key} must be {str(value).lower()}: {names}")


def register(auto: ModuleType) -> None:
    """Register the factorized configurations; `auto` is `transformers.models.auto.configuration_auto`."""
    for family in families().values():
        auto.CONFIG_MAPPING.register(PREFIX + family.model_type, _later(family, "config"), exist_ok=True)


def _register_models(family: Family, config: type[Any], auto: ModuleType) -> None:
    # the mappings themselves: AutoModel.register would look into the class at once
    auto.MODEL_MAPPING.register(config, _later(family, "base_model"), exist_ok=True)
    language_models = {"masked": auto.MODEL_FOR_MASKED_LM_MAPPING}[family.kind]
    language_models.register(config, _later(family, "language_model"), exist_ok=True)


def _later(family: Family, which: Which) -> object:
    return wrapt.LazyObjectProxy(partial(class_of, family, which, factorized=True), interface=type)


def __getattr__(name: str) -> type[Any]:
    """The generated classes by name, such as `FactorizedBertForMaskedLM`: pickle looks for them here."""
    for family in families().values():
        for which in get_args(Which):
            if name == f"Factorized{getattr(family, which).rpartition('.')[2]}":
                return class_of(family, which, factorized=True)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
