"""What all rules share: the checked configuration, names of models and files, digests. Nothing is computed here."""

import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from lexigraft.config import load_config
from lexigraft.digests import code_digest, lock_digest
from lexigraft.errors import LexigraftError, nearest


def or_stop(function, *arguments):
    """Call a library function; an error that a user can act on stops the workflow with its message alone."""
    try:
        return function(*arguments)
    except LexigraftError as error:
        raise WorkflowError(str(error)) from None


CONFIG = or_stop(load_config, config)
MODELS = or_stop(CONFIG.models_by_name)
STEPS = [0, *(CONFIG.pretraining.checkpoints if CONFIG.pretraining else [])]
ROOT = Path(workflow.basedir)
# jobs use the library of this checkout, the one whose digests they carry, whatever else is installed
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
)
LOCK = lock_digest(ROOT / "requirements.lock")
THREADS = CONFIG.resources.threads
GPUS = CONFIG.resources.gpus
MODEL_FILES = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokens.parquet",
    "README.md",
]


wildcard_constraints:
    corpus=r"[A-Za-z0-9_.-]+",
    source=r"[A-Za-z0-9_.-]+",
    tokenizer=r"[A-Za-z0-9_.-]+",
    vectors=r"[A-Za-z0-9_.-]+",
    hypernetwork=r"[A-Za-z0-9_.-]+",
    model=r"[A-Za-z0-9_.-]+",
    task=r"[A-Za-z0-9_.-]+",
    dim=r"\d+",
    step=r"\d+",


def code_of(script, modules=()):
    """Digest of an adapter and of all library modules that it and `modules` import."""
    return code_digest(ROOT / "workflow_scripts" / script, modules)


def named(kind, wildcard):
    """A function of the wildcards that returns the settings of one `kind` (a section of the configuration) by its name."""

    def find(wildcards):
        section = MODELS if kind == "models_by_name" else getattr(CONFIG, kind)
        name = getattr(wildcards, wildcard)
        if name not in section:
            raise WorkflowError(
                f"the configuration has no {name!r} in {kind}; {nearest(name, section)}"
            )
        return section[name]

    return find


def settings_of(kind, wildcard):
    """Like `named`, as plain values: the form in which settings pass through `params`."""
    return lambda wildcards: named(kind, wildcard)(wildcards).model_dump(mode="json")


def model_of(wildcards):
    return named("models_by_name", "model")(wildcards)


def of_model(pattern):
    """A function of the wildcards that fills the parts of a model into a path."""
    return lambda wildcards: pattern.format(**model_of(wildcards).model_dump())


def method_of(wildcards):
    return CONFIG.methods[model_of(wildcards).method]


def hypernetwork_of(wildcards):
    """The network that a model's method predicts with: its name, or None."""
    return getattr(method_of(wildcards), "hypernetwork", None)
