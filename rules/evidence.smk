from lexigraft.evidence import kinds


rule evidence:
    input:
        unpack(made_from),
    output:
        table="<resources>/evidence/{kind}/{source}/{tokenizer}.parquet",
    log:
        "<logs>/evidence/{kind}/{source}/{tokenizer}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 6),
        runtime=minutes(60),
    params:
        kind="{kind}",
        source="{source}",
        tokenizer="{tokenizer}",
        code=lambda wildcards: code_of(
            "evidence.py", [kinds()[wildcards.kind].__module__]
        ),
        lock=LOCK,
    message:
        "evidence {wildcards.kind} of {wildcards.source} and {wildcards.tokenizer}"
    script:
        "../workflow_scripts/evidence.py"
