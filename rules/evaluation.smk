SCORED = scored("retrieval")
TAGGED = scored("tagging")
MODELED = scored("language_modeling")
RANKS = [
    f"<results>/ranks/{row['task']}/{row['model']}-step-{row['step']}.parquet"
    for row in SCORED
]
TAG_SCORES = [file for row in TAGGED for file in tag_score_files(row)]
LANGUAGE_MODELING = [
    f"<results>/language_modeling/{row['task']}/{row['model']}-step-{row['step']}.parquet"
    for row in MODELED
]


rule ranks:
    input:
        sentences=lambda wildcards: (
            f"<resources>/corpora/{named('tasks', 'task')(wildcards).corpus}/held_out.parquet"
        ),
        weights="<results>/models/{model}/step-{step}/model.safetensors",
        files=expand(
            "<results>/models/{{model}}/step-{{step}}/{file}", file=MODEL_FILES
        ),
    output:
        ranks="<results>/ranks/{task}/{model}-step-{step}.parquet",
    log:
        "<logs>/ranks/{task}/{model}-step-{step}.log",
    cache: True
    conda:
        "../envs/gpu.yaml" if GPUS else "../envs/cpu.yaml"
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
        "../workflow_scripts/ranks.py"


rule scores:
    input:
        ranks=RANKS,
        tag_scores=TAG_SCORES,
        language_modeling=LANGUAGE_MODELING,
    output:
        scores=report(
            "<results>/scores.parquet",
            caption="../docs/report/scores.rst",
            category="Scores",
            labels={"table": "scores"},
        ),
    log:
        "<logs>/scores.log",
    cache: True
    # seconds: not worth a job of a cluster
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=memory(1500, 4),
        runtime=minutes(15),
    params:
        rows=SCORED,
        top_k={name: task.top_k for name, task in tasks_of("retrieval").items()},
        reciprocal=[
            name
            for name, task in tasks_of("retrieval").items()
            if task.mean_reciprocal_rank
        ],
        tagged=TAGGED,
        seeds={name: len(task.seeds) for name, task in tasks_of("tagging").items()},
        headlines={name: task.headline for name, task in tasks_of("tagging").items()},
        modeled=MODELED,
        seed=CONFIG.seed,
        code=code_of("scores.py"),
        lock=LOCK,
    message:
        "scores of all models"
    script:
        "../workflow_scripts/scores.py"


rule significance:
    input:
        scores="<results>/scores.parquet",
        ranks=RANKS,
        tag_scores=TAG_SCORES,
        language_modeling=LANGUAGE_MODELING,
    output:
        intervals=report(
            "<results>/intervals.parquet",
            caption="../docs/report/intervals.rst",
            category="Scores",
            labels={"table": "intervals"},
        ),
        comparisons=report(
            "<results>/comparisons.parquet",
            caption="../docs/report/comparisons.rst",
            category="Scores",
            labels={"table": "tests"},
        ),
    log:
        "<logs>/significance.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 20),
        runtime=minutes(30),
    params:
        rows=SCORED,
        tagged=TAGGED,
        seeds={name: len(task.seeds) for name, task in tasks_of("tagging").items()},
        modeled=MODELED,
        seed=CONFIG.seed,
        code=code_of("significance.py"),
        lock=LOCK,
    message:
        "intervals and tests of all scores"
    script:
        "../workflow_scripts/significance.py"


ARTIFACTS += [*RANKS, *TAG_SCORES, *LANGUAGE_MODELING]
if CONFIG.tasks:
    ARTIFACTS += [*rules.scores.output, *rules.significance.output]
