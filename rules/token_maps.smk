rule token_map:
    input:
        unpack(map_evidence),
        source_vocabulary=rules.source.output.vocabulary,
        target_vocabulary=rules.tokenizer.output.vocabulary,
    output:
        token_map="<resources>/token_maps/{method}/{evidence}/{source}/{tokenizer}/{draw}/token_map.parquet",
    log:
        "<logs>/token_maps/{method}/{evidence}/{source}/{tokenizer}/{draw}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 6),
        runtime=minutes(60),
    params:
        method="{method}",
        evidence="{evidence}",
        source="{source}",
        tokenizer="{tokenizer}",
        draw="{draw}",
        settings=settings_of("methods", "method"),
        languages=lambda wildcards: CONFIG.sources[wildcards.source].languages,
        seed=lambda wildcards: (
            int(wildcards.draw.removeprefix("seed-"))
            if wildcards.draw != "shared"
            else None
        ),
        code=lambda wildcards: code_of(
            "token_map.py", [PLAN.method_module(wildcards.method)]
        ),
        lock=LOCK,
    message:
        "token map of {wildcards.method} from {wildcards.source} to {wildcards.tokenizer}"
    script:
        "../workflow_scripts/token_map.py"


ARTIFACTS += of_models(rules.token_map.output)
ARTIFACTS += [
    file
    for model in MODELS.values()
    for kinds in [
        PLAN.methods[model.method].needs,
        PLAN.methods[model.method].row_needs,
    ]
    for file in evidence_files(kinds, PLAN.values(model)).values()
]
