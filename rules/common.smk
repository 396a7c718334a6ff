"""What all rules share: the checked configuration, the plan of the run, helpers. Nothing is computed here."""

import math
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from lexigraft.config.configuration import load_config, refuse_templates
from lexigraft.errors import LexigraftError, nearest
from lexigraft.workflow.code_digests import code_digest, lock_digest
from lexigraft.workflow.external_inputs import outside_files
from lexigraft.workflow.plan import Plan, evidence_outputs
from lexigraft.workflow.preflight import check_records
from lexigraft.workflow.run_context import configuration_of_run, use_library_of
from lexigraft.workflow.stage import ignore_time_limit_signal


def stop_on_error(function, *arguments):
    """Call a library function; an error that a user can act on stops the workflow with its message alone."""
    try:
        return function(*arguments)
    except LexigraftError as error:
        raise WorkflowError(str(error)) from None


if workflow.is_main_process:
    stop_on_error(check_records, Path(".snakemake"))
stop_on_error(refuse_templates, workflow.configfiles)
# modules of one workflow differ in how many rules stand before them
BEFORE = len(list(workflow.rules))
CONFIG = stop_on_error(
    load_config, configuration_of_run(config, workflow.is_main_process, BEFORE)
)
PLAN = Plan(CONFIG)
MODELS = stop_on_error(lambda: PLAN.models)
# found here and not in input functions: where an output exists, Snakemake takes their errors for "no rule makes this"
ONLY_PLAN = bool(workflow.output_settings and workflow.output_settings.dryrun)
OUTSIDE, MISSING = stop_on_error(outside_files, CONFIG, ONLY_PLAN)
if MISSING:
    print(
        f"lexigraft: this plan cannot run yet, inputs are missing or do not fit:\n{MISSING}",
        file=sys.stderr,
    )
# of this file, wherever a workflow lies that uses it as a module
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
stop_on_error(use_library_of, ROOT)
ignore_time_limit_signal()
LOCK = lock_digest(ROOT / "requirements.lock")
THREADS = CONFIG.resources.threads
GPUS = CONFIG.resources.gpus
NODES = CONFIG.resources.nodes
# every artifact of the run: each rules file adds its own
ARTIFACTS = []


wildcard_constraints:
    corpus=r"[A-Za-z0-9_.-]+",
    source=r"[A-Za-z0-9_.-]+",
    tokenizer=r"[A-Za-z0-9_.-]+",
    word_vectors=r"[A-Za-z0-9_.-]+",
    evidence=r"[A-Za-z0-9_.+-]+",
    kind=r"[a-z_]+",
    method=r"[A-Za-z0-9_.-]+",
    draw=r"shared|seed-\d+",
    hypernetwork=r"[A-Za-z0-9_.-]+",
    model=r"[A-Za-z0-9_.-]+",
    task=r"[A-Za-z0-9_.-]+",
    dim=r"\d+|full",
    seed=r"\d+",
    step=r"\d+",
    language=r"[a-z]{3}_[A-Z][a-z]{3}",


def code_of(script, modules=()):
    """Digest of a stage's script and of all library modules that it and `modules` import."""
    return code_digest(ROOT / "workflow_scripts" / script, modules)


def memory(base, times_inputs, gpus=0):
    """A job's memory in MB: a base, a multiple of its inputs' size, what CUDA takes in each process; more with every attempt."""

    def megabytes(wildcards, input, attempt):
        needed = base + times_inputs * input.size_mb + 4000 * gpus
        return math.ceil(attempt * CONFIG.resources.memory * needed)

    return megabytes


def minutes(usual):
    """A job's time limit in minutes: more with every attempt."""
    return lambda wildcards, attempt: math.ceil(attempt * CONFIG.resources.time * usual)


def files_of(kind, wildcard):
    """A function of the wildcards that returns the files from outside that one `kind` is read from."""
    return lambda wildcards: OUTSIDE[kind].get(getattr(wildcards, wildcard), [])


def named(kind, wildcard):
    """A function of the wildcards that returns the settings of one `kind` (a section of the configuration) by its name."""
    section = {"models": MODELS, "methods": PLAN.methods}.get(kind)

    def find(wildcards):
        known = getattr(CONFIG, kind) if section is None else section
        name = getattr(wildcards, wildcard)
        if name not in known:
            raise WorkflowError(
                f"the configuration has no {name!r} in {kind}; {nearest(name, known)}"
            )
        return known[name]

    return find


def settings_of(kind, wildcard, without=()):
    """Like `named`, as plain values: the form in which settings pass through `params`; some keys can be left out."""
    return lambda wildcards: named(kind, wildcard)(wildcards).model_dump(
        mode="json", exclude=set(without)
    )


model_of = named("models", "model")


def of_model(output):
    """A function of the wildcards: an output of another rule, for the model of this job."""
    return lambda wildcards: output.format(**PLAN.values(model_of(wildcards)))


def of_models(outputs, models=None):
    """Outputs of a rule for all models, or some."""
    chosen = MODELS.values() if models is None else models
    return [
        output.format(**PLAN.values(model)) for model in chosen for output in outputs
    ]


def output_of(rule, output, /, **values):
    """The path of another rule's output."""
    return getattr(getattr(rules, rule).output, output).format(**values)


def evidence_files(kinds, values):
    """Name of each file of the evidence `kinds` -> its path."""
    return {
        name: output_of(*output, **values, kind=name)
        for name, output in evidence_outputs(kinds).items()
    }


def files_of_plan(dag):
    """Of all jobs to run: artifacts that changed since a finished job read them, though no job wrote them; inputs; outputs."""
    jobs = list(dag.needrun_jobs())
    changed = [
        file
        for job in jobs
        for file in dag.reason(job).updated_input
        if any(file in made for made in dag.dependencies[job].values())
    ]
    return (
        changed,
        [file for job in jobs for file in job.input],
        [file for job in jobs for file in [*job.output, *job.log]],
    )
