"""What all rules share: the checked configuration, names of models and files, digests. Nothing is computed here."""

import math
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from lexigraft.workflow.run_context import configuration_of_run, use_library_of
from lexigraft.config.configuration import load_config, refuse_templates
from lexigraft.corpora.sources import corpus_languages
from lexigraft.workflow.code_digests import code_digest, lock_digest
from lexigraft.errors import LexigraftError, nearest
from lexigraft.workflow.external_inputs import outside_files
from lexigraft.workflow.preflight import check_records
from lexigraft.workflow.stage import ignore_time_limit_signal
from lexigraft.word_vectors.settings import MATCHING_ONLY


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
MODELS = stop_on_error(CONFIG.models_by_name)
# found here and not in input functions: where an output exists, Snakemake takes their errors for "no rule makes this"
ONLY_PLAN = bool(workflow.output_settings and workflow.output_settings.dryrun)
OUTSIDE, MISSING = stop_on_error(outside_files, CONFIG, ONLY_PLAN)
if MISSING:
    print(
        f"lexigraft: this plan cannot run yet, inputs are missing or do not fit:\n{MISSING}",
        file=sys.stderr,
    )
TRAINED_STEPS = list(CONFIG.pretraining.checkpoints) if CONFIG.pretraining else []
TRAINED = [
    name
    for name in MODELS
    if CONFIG.pretraining and name in (CONFIG.pretraining.models or MODELS)
]
# of this file, wherever a workflow lies that uses it as a module
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
stop_on_error(use_library_of, ROOT)
ignore_time_limit_signal()
LOCK = lock_digest(ROOT / "requirements.lock")
THREADS = CONFIG.resources.threads
GPUS = CONFIG.resources.gpus
NODES = CONFIG.resources.nodes
MODEL_FILES = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokens.parquet",
    "README.md",
]
CORPUS_TABLES = ["sentences", "held_out", "counts"]
NETWORK_FILES = ["network.safetensors", "history.parquet", "quality.parquet"]
PRETRAINING_TABLES = ["history", "held_out", "languages", "speed"]
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocabulary.parquet"]
SOURCE_FILES = ["config.json", "model.safetensors", *TOKENIZER_FILES]


wildcard_constraints:
    corpus=r"[A-Za-z0-9_.-]+",
    source=r"[A-Za-z0-9_.-]+",
    tokenizer=r"[A-Za-z0-9_.-]+",
    vectors=r"[A-Za-z0-9_.-]+",
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

    def find(wildcards):
        section = MODELS if kind == "models_by_name" else getattr(CONFIG, kind)
        name = getattr(wildcards, wildcard)
        if name not in section:
            raise WorkflowError(
                f"the configuration has no {name!r} in {kind}; {nearest(name, section)}"
            )
        return section[name]

    return find


def settings_of(kind, wildcard, without=()):
    """Like `named`, as plain values: the form in which settings pass through `params`; some keys can be left out."""
    return lambda wildcards: named(kind, wildcard)(wildcards).model_dump(
        mode="json", exclude=set(without)
    )


def model_of(wildcards):
    return named("models_by_name", "model")(wildcards)


def of_model(pattern):
    """A function of the wildcards that fills the parts of a model into a path."""
    return lambda wildcards: pattern.format(**model_of(wildcards).model_dump())


def method_of(wildcards):
    return CONFIG.methods[model_of(wildcards).method]


def extended_source(wildcards):
    """Files of the source that an extension builds on; none for other kinds."""
    settings = named("tokenizers", "tokenizer")(wildcards)
    if settings.kind != "extension":
        return []
    return [f"<resources>/sources/{settings.source}/{name}" for name in TOKENIZER_FILES]


def max_words_per_token(wildcards):
    return named("word_vectors", "vectors")(wildcards).max_words_per_token


def vector_inputs(wildcards):
    """A corpus to learn from, or the files to read."""
    settings = named("word_vectors", "vectors")(wildcards)
    if settings.kind == "learned":
        return [f"<resources>/corpora/{settings.corpus}/sentences.parquet"]
    return OUTSIDE["word_vectors"][wildcards.vectors]


def counted_text(wildcards):
    """The corpus that a tokenizer is learned from or counted on; none for an existing one that is not counted."""
    corpus = named("tokenizers", "tokenizer")(wildcards).corpus
    return [f"<resources>/corpora/{corpus}/sentences.parquet"] if corpus else []


def network_folder(model):
    """Folder of the trained network of a model's method; None where the method has no network."""
    name = CONFIG.network_of(model)
    if name is None:
        return None
    return f"<resources>/hypernetworks/{name}/{model.word_vectors}/{model.source}-{model.dim}/seed-{model.seed}"


def network_files(wildcards):
    """The trained network of a model's method; none where the method has no network."""
    folder = network_folder(model_of(wildcards))
    return [f"{folder}/network.safetensors"] if folder else []


def dim_of(wildcards):
    """D' of the wildcards: a number, or `full`."""
    return wildcards.dim if wildcards.dim == "full" else int(wildcards.dim)


def steps_of(name):
    """Steps at which a model is kept and scored."""
    return [0, *(TRAINED_STEPS if name in TRAINED else [])]


def tasks_of(kind):
    """Names of the tasks of one kind -> their settings."""
    return {name: task for name, task in CONFIG.tasks.items() if task.kind == kind}


def tagged_files(part):
    """A function of the wildcards: a tagging task's files of `train`, `dev` or `test`; a mere plan leaves out missing ones."""

    def find(wildcards):
        task = named("tasks", "task")(wildcards).at(int(wildcards.step))
        files = [file.path for file in getattr(task, part).values()]
        return [file for file in files if Path(file).is_file() or not ONLY_PLAN]

    return find


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


def tag_score_files(row):
    """The tables of a (task, model, step), one a seed of fine-tuning."""
    folder = f"<results>/tag_scores/{row['task']}/{row['model']}-step-{row['step']}"
    return [
        f"{folder}/seed-{seed}/sentences.parquet"
        for seed in CONFIG.tasks[row["task"]].seeds
    ]


def card_of(wildcards):
    """What the model card says beyond the counts."""
    model = model_of(wildcards)
    tokenizer = CONFIG.tokenizers[model.tokenizer]
    vectors = CONFIG.word_vectors[model.word_vectors]
    source = CONFIG.sources[model.source]
    # an existing tokenizer names no corpus: the text is then that of the word vectors, or of the pre-training
    texts = [tokenizer.corpus, getattr(vectors, "corpus", None)]
    texts += [CONFIG.pretraining.corpus] if model.name in TRAINED else []
    name = next(filter(None, texts), None)
    corpus = CONFIG.corpora[name] if name else None
    return {
        "name": model.name,
        "method": model.method,
        "source": source.model,
        "source_license": source.license,
        "languages": stop_on_error(corpus_languages, corpus) if corpus else [],
        "corpus": f"{name} ({corpus.adapter})" if corpus else "none",
        "tokenizer": f"{model.tokenizer} ({tokenizer.kind})",
        "vectors": f"{model.word_vectors} ({vectors.kind})",
    }


def scored(kind):
    """Every (task, model, step) of the run with tasks of one kind, as the score table names them."""
    return [
        {
            "run": CONFIG.run,
            "model": model.name,
            "method": model.method,
            "source": model.source,
            "target": model.tokenizer,
            "dim": str(model.dim),
            "seed": model.seed,
            "step": step,
            "task": task,
        }
        for task in tasks_of(kind)
        for model in MODELS.values()
        for step in steps_of(model.name)
    ]


def network_names():
    """What the report calls the networks that the run's models predict with -> their folders."""
    folders = {}
    for model in MODELS.values():
        if folder := network_folder(model):
            name = CONFIG.network_of(model)
            seed = "" if model.seed == CONFIG.seed else f", seed {model.seed}"
            folders[f"{name} ({model.source}, D' = {model.dim}{seed})"] = folder
    return folders


def network_histories(wildcards):
    """Loss histories of all networks that the run's models predict with."""
    return [f"{folder}/history.parquet" for folder in network_names().values()]


def task_settings(wildcards):
    """Settings of a task at a step of pre-training."""
    task = named("tasks", "task")(wildcards)
    return task.at(int(wildcards.step)).model_dump(mode="json")


def pretraining_settings():
    """Settings of pre-training, but not which models are trained: adding one must not train the others again."""
    return (
        CONFIG.pretraining.model_dump(mode="json", exclude={"models"})
        if CONFIG.pretraining
        else {}
    )


def pretraining_languages():
    """Languages to train on, in the order of the corpus."""
    settings = CONFIG.pretraining
    return settings.languages or stop_on_error(
        corpus_languages, CONFIG.corpora[settings.corpus]
    )


def pretraining_shards(tokenizer):
    """The packed text that models with a tokenizer are trained on, a file a language."""
    folder = f"<resources>/pretraining_data/{CONFIG.pretraining.corpus}/{tokenizer}"
    return [f"{folder}/{language}.arrow" for language in pretraining_languages()]


def all_artifacts(wildcards):
    """Every artifact of the run: as targets, so that one that was deleted is made again.

    Taggers are not among them: they are as large as models, and once they are scored they may be deleted.
    """
    found = []
    for model in MODELS.values():
        matches = f"<resources>/matches/{model.word_vectors}"
        network = network_folder(model)
        steps = steps_of(model.name)
        corpora = [
            CONFIG.tokenizers[model.tokenizer].corpus,
            getattr(CONFIG.word_vectors[model.word_vectors], "corpus", None),
            CONFIG.pretraining.corpus if CONFIG.pretraining else None,
            *(task.corpus for task in tasks_of("retrieval").values()),
            *(task.corpus for task in tasks_of("language_modeling").values()),
        ]
        found += [
            *(
                f"<resources>/corpora/{corpus}/{table}.parquet"
                for corpus in corpora
                if corpus
                for table in CORPUS_TABLES
            ),
            *(f"<resources>/sources/{model.source}/{name}" for name in SOURCE_FILES),
            *(
                f"<resources>/tokenizers/{model.tokenizer}/{name}"
                for name in TOKENIZER_FILES
            ),
            f"<resources>/word_vectors/{model.word_vectors}/words.parquet",
            f"<resources>/word_vectors/{model.word_vectors}/vectors.safetensors",
            f"{matches}/source-{model.source}.parquet",
            f"{matches}/target-{model.tokenizer}.parquet",
            f"<resources>/factors/{model.source}-{model.dim}.safetensors",
            *(f"{network}/{name}" for name in NETWORK_FILES if network),
            *(
                f"<results>/models/{model.name}/step-{step}/{name}"
                for step in steps
                for name in ["model.safetensors", *MODEL_FILES]
            ),
            *(
                [
                    *pretraining_shards(model.tokenizer),
                    *(
                        f"<results>/models/{model.name}/pretraining_{table}.parquet"
                        for table in PRETRAINING_TABLES
                    ),
                ]
                if steps[1:]
                else []
            ),
            *(
                f"<results>/ranks/{task}/{model.name}-step-{step}.parquet"
                for task in tasks_of("retrieval")
                for step in steps
            ),
            *(
                f"<resources>/fertility/{task.corpus}/{name}.parquet"
                for task in tasks_of("language_modeling").values()
                for name in [f"source-{model.source}", f"target-{model.tokenizer}"]
            ),
        ]
    found += [file for row in scored("tagging") for file in tag_score_files(row)]
    found += LANGUAGE_MODELLING
    found.append("<results>/token_origins.parquet")
    if CONFIG.tasks:
        found += [
            f"<results>/{name}"
            for name in (
                "scores.parquet",
                "intervals.parquet",
                "comparisons.parquet",
                "report.html",
            )
        ]
    return list(dict.fromkeys(found))
