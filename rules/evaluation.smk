from lexigraft.workflow import scored


include: "tasks.smk"


# a kind of task is added with one file there
for file in sorted((ROOT / "rules" / "tasks").glob("*.smk")):

    include: f"tasks/{file.name}"


SCORED = scored.scored_rows(PLAN)
# the result files of each row
RESULT_FILES = [
    [
        expand(RESULTS[CONFIG.tasks[row["task"]].kind], **wildcards)[0]
        for wildcards in scored.result_wildcards(CONFIG, row)
    ]
    for row in SCORED
]
ALL_RESULTS = [file for files in RESULT_FILES for file in files]
FILES_PER_ROW = [len(files) for files in RESULT_FILES]
TASKS = {name: task.model_dump(mode="json") for name, task in CONFIG.tasks.items()}
# imported by name, so that no digest sees them by itself
TASK_MODULES = sorted({type(task).__module__ for task in CONFIG.tasks.values()})


rule scores:
    input:
        results=ALL_RESULTS,
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
        files_per_row=FILES_PER_ROW,
        tasks=TASKS,
        seed=CONFIG.seed,
        code=code_of("scores.py", TASK_MODULES),
        lock=LOCK,
    message:
        "scores of all models"
    script:
        "../workflow_scripts/scores.py"


rule significance:
    input:
        results=ALL_RESULTS,
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
        files_per_row=FILES_PER_ROW,
        tasks=TASKS,
        seed=CONFIG.seed,
        code=code_of("significance.py", TASK_MODULES),
        lock=LOCK,
    message:
        "intervals and tests of all scores"
    script:
        "../workflow_scripts/significance.py"


ARTIFACTS += ALL_RESULTS
if CONFIG.tasks:
    ARTIFACTS += [*rules.scores.output, *rules.significance.output]
