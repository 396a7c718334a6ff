rule factors:
    input:
        weights="<resources>/sources/{source}/model.safetensors",
    output:
        factors="<resources>/factors/{source}-{dim}.safetensors",
    log:
        "<logs>/factors/{source}-{dim}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 6),
        runtime=minutes(30),
    params:
        source="{source}",
        dim=dim_of,
        code=code_of("factors.py"),
        lock=LOCK,
    message:
        "factors of {wildcards.source} at D' = {wildcards.dim}"
    script:
        "../workflow_scripts/factors.py"
