rule tagger:
    input:
        weights=SCORED_WEIGHTS,
        files=SCORED_FILES,
        train=files_of_task("train"),
        dev=files_of_task("dev"),
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
        test=files_of_task("test"),
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
