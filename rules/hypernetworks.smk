rule hypernetwork:
    input:
        table=embedding_table,
        matches=rules.source_matches.output.matches,
        vocabulary=rules.source.output.vocabulary,
        words=rules.word_vectors.output.words,
        vectors=rules.word_vectors.output.vectors,
    output:
        network="<resources>/hypernetworks/{hypernetwork}/{word_vectors}/{source}-{dim}/seed-{seed}/network.safetensors",
        history=report(
            "<resources>/hypernetworks/{hypernetwork}/{word_vectors}/{source}-{dim}/seed-{seed}/history.parquet",
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
            "<resources>/hypernetworks/{hypernetwork}/{word_vectors}/{source}-{dim}/seed-{seed}/quality.parquet",
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
        "<logs>/hypernetworks/{hypernetwork}/{word_vectors}/{source}-{dim}-seed-{seed}.log",
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
        dim="{dim}",
        word_vectors="{word_vectors}",
        settings=settings_of("hypernetworks", "hypernetwork"),
        languages=lambda wildcards: named("sources", "source")(wildcards).languages,
        gpus=GPUS,
        seed=lambda wildcards: int(wildcards.seed),
        code=lambda wildcards: code_of(
            "hypernetwork.py", [PLAN.network_module(wildcards.hypernetwork)]
        ),
        lock=LOCK,
    message:
        "hypernetwork {wildcards.hypernetwork} for {wildcards.source} at D' = {wildcards.dim}"
    script:
        "../workflow_scripts/hypernetwork.py"


ARTIFACTS += [
    output.format(**values)
    for values in PLAN.networks().values()
    for output in rules.hypernetwork.output
]
