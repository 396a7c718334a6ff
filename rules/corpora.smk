rule corpus:
    input:
        files=files_of("corpora", "corpus"),
    output:
        sentences="<resources>/corpora/{corpus}/sentences.parquet",
        held_out="<resources>/corpora/{corpus}/held_out.parquet",
        counts="<resources>/corpora/{corpus}/counts.parquet",
    log:
        "<logs>/corpora/{corpus}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=memory(2000, 6),
        runtime=minutes(30),
    params:
        corpus="{corpus}",
        settings=settings_of("corpora", "corpus"),
        code=code_of("corpus.py"),
        lock=LOCK,
    message:
        "corpus {wildcards.corpus}: read, clean, hold out"
    script:
        "../workflow_scripts/corpus.py"


ARTIFACTS += expand(rules.corpus.output, corpus=PLAN.corpora)
