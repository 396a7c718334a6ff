rule hypernetwork:
    input:
        factors="<resources>/factors/{source}-{dim}.safetensors",
        matches="<resources>/matches/{vectors}/source-{source}.parquet",
        vocabulary="<resources>/sources/{source}/vocabulary.parquet",
        words="<resources>/word_vectors/{vectors}/words.parquet",
        vectors="<resources>/word_vectors/{vectors}/vectors.safetensors",
    output:
        network="<resources>/hypernetworks/{hypernetwork}/{vectors}/{source}-{dim}/seed-{seed}/network.safetensors",
        history=report(
            "<resources>/hypernetworks/{hypernetwork}/{vectors}/{source}-{dim}/seed-{seed}/history.parquet",
            caption="../docs/report/network_history.rst",
            category="Hypernetworks",
            labels={
                "hypernetwork": "{hypernetwork}",
                "source": "{source}",
                "D'": "{dim}",
                "seed": "{seed}",
                "table": "losses",
            },
        ),
        quality=report(
            "<resources>/hypernetworks/{hypernetwork}/{vectors}/{source}-{dim}/seed-{seed}/quality.parquet",
            caption="../docs/report/network_quality.rst",
            category="Hypernetworks",
            labels={
                "hypernetwork": "{hypernetwork}",
                "source": "{source}",
                "D'": "{dim}",
                "seed": "{seed}",
                "table": "held-out tokens",
            },
        ),
    log:
        "<logs>/hypernetworks/{hypernetwork}/{vectors}/{source}-{dim}-seed-{seed}.log",
    cache: True
    priority: 10
    conda:
        "../envs/gpu.yaml" if GPUS else "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(3000, 3, GPUS),
        runtime=minutes(240),
        gpu=GPUS,
    params:
        hypernetwork="{hypernetwork}",
        source="{source}",
        dim=dim_of,
        vectors="{vectors}",
        settings=settings_of("hypernetworks", "hypernetwork"),
        languages=lambda wildcards: named("sources", "source")(wildcards).languages,
        gpus=GPUS,
        seed=lambda wildcards: int(wildcards.seed),
        code=code_of("hypernetwork.py"),
        lock=LOCK,
    message:
        "hypernetwork {wildcards.hypernetwork} for {wildcards.source} at D' = {wildcards.dim}"
    script:
        "../workflow_scripts/hypernetwork.py"
