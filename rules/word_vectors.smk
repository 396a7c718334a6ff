rule word_vectors:
    input:
        files=vector_inputs,
    output:
        words="<resources>/word_vectors/{vectors}/words.parquet",
        vectors="<resources>/word_vectors/{vectors}/vectors.safetensors",
    log:
        "<logs>/word_vectors/{vectors}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(3000, 4),
        runtime=minutes(60),
    params:
        vectors="{vectors}",
        settings=settings_of("word_vectors", "vectors", without=MATCHING_ONLY),
        seed=lambda wildcards: (
            CONFIG.seed
            if named("word_vectors", "vectors")(wildcards).kind == "learned"
            else None
        ),
        code=code_of("word_vectors.py"),
        lock=LOCK,
    message:
        "word vectors {wildcards.vectors}"
    script:
        "../workflow_scripts/word_vectors.py"
