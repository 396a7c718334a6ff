rule ranks:
    input:
        sentences=held_out_of_task,
        weights=SCORED_WEIGHTS,
        files=SCORED_FILES,
    output:
        ranks="<results>/ranks/{task}/{model}-step-{step}.parquet",
    log:
        "<logs>/ranks/{task}/{model}-step-{step}.log",
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
        code=code_of("ranks.py"),
        lock=LOCK,
    message:
        "{wildcards.task} of {wildcards.model} at step {wildcards.step}"
    script:
        "../../workflow_scripts/ranks.py"


RESULTS["retrieval"] = rules.ranks.output.ranks
