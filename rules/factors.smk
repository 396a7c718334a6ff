rule factors:
    input:
        weights=rules.source.output.weights,
    output:
        factors="<resources>/factors/{source}-{dim}.safetensors",
    log:
        "<logs>/factors/{source}-{dim}.log",
    wildcard_constraints:
        dim=r"\d+",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 6),
        runtime=minutes(30),
    params:
        source="{source}",
        dim=lambda wildcards: int(wildcards.dim),
        code=code_of("factors.py"),
        lock=LOCK,
    message:
        "factors of {wildcards.source} at D' = {wildcards.dim}"
    script:
        "../workflow_scripts/factors.py"


ARTIFACTS += of_models(
    rules.factors.output, [model for model in MODELS.values() if model.dim != "full"]
)
