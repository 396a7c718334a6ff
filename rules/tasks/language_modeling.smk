FERTILITY_CODE = code_of("fertility.py")


rule language_modeling:
    input:
        sentences=held_out_of_task,
        weights=SCORED_WEIGHTS,
        files=SCORED_FILES,
    output:
        sentences="<results>/language_modeling/{task}/{model}-step-{step}.parquet",
    log:
        "<logs>/language_modeling/{task}/{model}-step-{step}.log",
    cache: True
    conda:
        "../../envs/gpu.yaml" if GPUS else "../../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(3000, 4, GPUS),
        runtime=minutes(120),
        gpu=GPUS,
    params:
        task="{task}",
        model="{model}",
        step="{step}",
        settings=task_settings,
        gpus=GPUS,
        seed=CONFIG.seed,
        code=code_of("language_modeling.py"),
        lock=LOCK,
    message:
        "{wildcards.task} of {wildcards.model} at step {wildcards.step}"
    script:
        "../../workflow_scripts/language_modeling.py"


rule source_fertility:
    input:
        sentences=rules.corpus.output.held_out,
        tokenizer=rules.source.output.tokenizer,
        tokenizer_config=rules.source.output.tokenizer_config,
    output:
        fertility="<resources>/fertility/{corpus}/source-{source}.parquet",
    log:
        "<logs>/fertility/{corpus}/source-{source}.log",
    cache: True
    conda:
        "../../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(1500, 4),
        runtime=minutes(15),
    params:
        corpus="{corpus}",
        source="{source}",
        code=FERTILITY_CODE,
        lock=LOCK,
    message:
        "fertility of {wildcards.source}'s tokenizer on {wildcards.corpus}"
    script:
        "../../workflow_scripts/fertility.py"


rule target_fertility:
    input:
        sentences=rules.corpus.output.held_out,
        tokenizer=rules.tokenizer.output.tokenizer,
        tokenizer_config=rules.tokenizer.output.tokenizer_config,
    output:
        fertility="<resources>/fertility/{corpus}/target-{tokenizer}.parquet",
    log:
        "<logs>/fertility/{corpus}/target-{tokenizer}.log",
    cache: True
    conda:
        "../../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(1500, 4),
        runtime=minutes(15),
    params:
        corpus="{corpus}",
        tokenizer="{tokenizer}",
        code=FERTILITY_CODE,
        lock=LOCK,
    message:
        "fertility of tokenizer {wildcards.tokenizer} on {wildcards.corpus}"
    script:
        "../../workflow_scripts/fertility.py"


RESULTS["language_modeling"] = rules.language_modeling.output.sentences
for task in CONFIG.tasks.values():
    if task.kind == "language_modeling":
        ARTIFACTS += of_models(
            file.replace("{corpus}", task.corpus)
            for file in [*rules.source_fertility.output, *rules.target_fertility.output]
        )
