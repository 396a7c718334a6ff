def tagged_files(part):
    """A function of the wildcards: a tagging task's files of `train`, `dev` or `test`; a mere plan leaves out missing ones."""

    def find(wildcards):
        task = named("tasks", "task")(wildcards).at(int(wildcards.step))
        files = [file.path for file in getattr(task, part).values()]
        return [file for file in files if Path(file).is_file() or not ONLY_PLAN]

    return find


rule tagger:
    input:
        weights=SCORED_WEIGHTS,
        files=SCORED_FILES,
        train=tagged_files("train"),
        dev=tagged_files("dev"),
    output:
        tagger="<results>/taggers/{task}/{model}-step-{step}/seed-{seed}/tagger.safetensors",
        tags="<results>/taggers/{task}/{model}-step-{step}/seed-{seed}/tags.parquet",
        history="<results>/taggers/{task}/{model}-step-{step}/seed-{seed}/history.parquet",
    log:
        "<logs>/taggers/{task}/{model}-step-{step}-seed-{seed}.log",
    cache: True
    conda:
        "../../envs/gpu.yaml" if GPUS else "../../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(4000, 8, GPUS),
        runtime=minutes(120),
        gpu=GPUS,
    params:
        task="{task}",
        model="{model}",
        step="{step}",
        settings=lambda wildcards: named("tasks", "task")(wildcards).tagger,
        gpus=GPUS,
        seed=lambda wildcards: int(wildcards.seed),
        code=code_of("tagging_tagger.py"),
        lock=LOCK,
    message:
        "fine-tune {wildcards.model} at step {wildcards.step} for {wildcards.task}, seed {wildcards.seed}"
    script:
        "../../workflow_scripts/tagging_tagger.py"


rule tag_scores:
    input:
        tagger=rules.tagger.output.tagger,
        tags=rules.tagger.output.tags,
        weights=SCORED_WEIGHTS,
        files=SCORED_FILES,
        test=tagged_files("test"),
    output:
        sentences="<results>/tag_scores/{task}/{model}-step-{step}/seed-{seed}/sentences.parquet",
        confusion="<results>/tag_scores/{task}/{model}-step-{step}/seed-{seed}/confusion.parquet",
    log:
        "<logs>/tag_scores/{task}/{model}-step-{step}-seed-{seed}.log",
    cache: True
    conda:
        "../../envs/gpu.yaml" if GPUS else "../../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(3000, 4, GPUS),
        runtime=minutes(30),
        gpu=GPUS,
    params:
        task="{task}",
        model="{model}",
        step="{step}",
        settings=task_settings,
        gpus=GPUS,
        seed=lambda wildcards: int(wildcards.seed),
        code=code_of("tagging_scores.py"),
        lock=LOCK,
    message:
        "{wildcards.task} of {wildcards.model} at step {wildcards.step}, seed {wildcards.seed}"
    script:
        "../../workflow_scripts/tagging_scores.py"


RESULTS["tagging"] = rules.tag_scores.output.sentences
