"""What a configuration asks the workflow for, as values of wildcards and parameters; nothing here knows Snakemake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lexigraft.config.configuration import Config
from lexigraft.config.grid import Model
from lexigraft.corpora.sources import corpus_languages
from lexigraft.evidence.base import Evidence, choices_of
from lexigraft.initializers.parts.base import Initializer

NO_EVIDENCE, SHARED_MAP = "none", "shared"
"""Parts of a token map's path: of methods that need no evidence, and of maps that do not depend on the seed."""


@dataclass(frozen=True)
class Plan:
    """The models of a run and what they are made of."""

    config: Config

    @cached_property
    def models(self) -> dict[str, Model]:
        """Name of each model -> its settings."""
        return self.config.models_by_name()

    @cached_property
    def methods(self) -> dict[str, Initializer]:
        """Name of each method -> its options, word options of networks included."""
        return {name: self.config.method_of(name) for name in self.config.methods}

    @cached_property
    def steps(self) -> list[int]:
        """Steps of pre-training whose models are kept."""
        return list(self.config.pretraining.checkpoints) if self.config.pretraining else []

    @cached_property
    def trained(self) -> list[str]:
        """Names of the models that are pre-trained."""
        settings = self.config.pretraining
        return [name for name in self.models if settings and name in (settings.models or self.models)]

    def steps_of(self, name: str) -> list[int]:
        """Steps at which a model is kept and scored."""
        return [0, *(self.steps if name in self.trained else [])]

    def values(self, model: Model) -> dict[str, Any]:
        """Values of the wildcards of everything that a model is made of."""
        method = self.methods[model.method]
        choices = [str(getattr(model, key)) for key in choices_of(method.needs)]
        return {
            **model.model_dump(),
            "model": model.name,
            "hypernetwork": self.config.network_of(model),
            "evidence": "+".join(choices) or NO_EVIDENCE,
            "draw": f"seed-{model.seed}" if method.draws_map else SHARED_MAP,
        }

    def map_values(self, wildcards: Mapping[str, str]) -> dict[str, str]:
        """Values of the wildcards of the evidence that a token map is made from; the map's own wildcards say which."""
        choices = choices_of(self.methods[wildcards["method"]].needs)
        given = wildcards["evidence"].split("+") if choices else []
        return {**wildcards, **dict(zip(choices, given, strict=True))}

    def method_module(self, method: str) -> str:
        """The module of a method, which registries find by its name: no digest sees it by itself."""
        return type(self.methods[method]).__module__

    def network_module(self, hypernetwork: str) -> str:
        """The module of a hypernetwork's architecture, like `method_module`."""
        return f"lexigraft.hypernetwork.networks.{self.config.hypernetworks[hypernetwork].kind}"

    def model_modules(self, model: Model) -> list[str]:
        """The modules that a model is initialized with, like `method_module`."""
        network = self.config.network_of(model)
        return [self.method_module(model.method), *([self.network_module(network)] if network else [])]

    @cached_property
    def corpora(self) -> list[str]:
        """Names of the corpora that models are made from, trained on or scored on."""
        config = self.config
        names = [config.pretraining.corpus if config.pretraining else None]
        names += [getattr(task, "corpus", None) for task in config.tasks.values()]
        for model in self.models.values():
            vectors = config.word_vectors.get(model.word_vectors or "")
            names += [config.tokenizers[model.tokenizer].corpus, getattr(vectors, "corpus", None)]
        return list(dict.fromkeys(filter(None, names)))

    def networks(self) -> dict[str, dict[str, Any]]:
        """What the report calls the networks that the run's models predict with -> the wildcards of each."""
        found: dict[str, dict[str, Any]] = {}
        for model in self.models.values():
            if name := self.config.network_of(model):
                seed = "" if model.seed == self.config.seed else f", seed {model.seed}"
                found[f"{name} ({model.source}, D' = {model.dim}{seed})"] = self.values(model)
        return found

    def card(self, model: Model) -> dict[str, Any]:
        """What the model card says beyond the counts.

        Raises:
            InputError: the languages of a corpus cannot be read.
        """
        config = self.config
        tokenizer, source = config.tokenizers[model.tokenizer], config.sources[model.source]
        vectors = config.word_vectors[model.word_vectors] if model.word_vectors else None
        # an existing tokenizer names no corpus: the text is then that of the word vectors, or of the pre-training
        texts = [tokenizer.corpus, getattr(vectors, "corpus", None)]
        texts += [config.pretraining.corpus] if config.pretraining and model.name in self.trained else []
        name = next(filter(None, texts), None)
        corpus = config.corpora[name] if name else None
        return {
            "name": model.name,
            "method": model.method,
            "source": source.model,
            "source_license": source.license,
            "languages": corpus_languages(corpus) if corpus else [],
            "corpus": f"{name} ({corpus.adapter})" if corpus else "none",
            "tokenizer": f"{model.tokenizer} ({tokenizer.kind})",
            "vectors": f"{model.word_vectors} ({vectors.kind})" if vectors else "none",
        }

    def training_languages(self) -> list[str]:
        """Languages to train on, in the order of the corpus.

        Raises:
            InputError: the languages of the corpus cannot be read.
        """
        settings = self.config.pretraining
        assert settings is not None
        return settings.languages or corpus_languages(self.config.corpora[settings.corpus])


def evidence_outputs(kinds: Iterable[type[Evidence]]) -> dict[str, list[str]]:
    """Name of each file of the evidence `kinds` -> the rule that makes it, and the name of the output there."""
    return {name: output.split(".") for kind in kinds for name, output in kind.files.items()}
