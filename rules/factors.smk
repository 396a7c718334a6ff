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


def embedding_table(wildcards):
    """F and P of a source model at D', or its weights where D' is `full`."""
    made = (
        rules.source.output.weights
        if wildcards.dim == "full"
        else rules.factors.output.factors
    )
    return made.format(source=wildcards.source, dim=wildcards.dim)


ARTIFACTS += of_models(
    rules.factors.output, [model for model in MODELS.values() if model.dim != "full"]
)
