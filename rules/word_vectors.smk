from lexigraft.word_vectors.settings import MATCHING_ONLY


rule word_vectors:
    input:
        files=vector_inputs,
    output:
        words="<resources>/word_vectors/{word_vectors}/words.parquet",
        vectors="<resources>/word_vectors/{word_vectors}/vectors.safetensors",
    log:
        "<logs>/word_vectors/{word_vectors}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(3000, 4),
        runtime=minutes(60),
    params:
        word_vectors="{word_vectors}",
        settings=settings_of("word_vectors", "word_vectors", without=MATCHING_ONLY),
        seed=lambda wildcards: (
            CONFIG.seed
            if named("word_vectors", "word_vectors")(wildcards).kind == "learned"
            else None
        ),
        code=code_of("word_vectors.py"),
        lock=LOCK,
    message:
        "word vectors {wildcards.word_vectors}"
    script:
        "../workflow_scripts/word_vectors.py"
