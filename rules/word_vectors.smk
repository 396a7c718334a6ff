def vector_inputs(wildcards):
    """A corpus to learn from, or the files to read."""
    settings = named("word_vectors", "vectors")(wildcards)
    if settings.kind == "learned":
        return [f"<resources>/corpora/{settings.corpus}/sentences.parquet"]
    paths = settings.paths
    return [paths] if isinstance(paths, str) else list(paths.values())


rule word_vectors:
    input:
        files=vector_inputs,
    output:
        words="<resources>/word_vectors/{vectors}/words.parquet",
        vectors="<resources>/word_vectors/{vectors}/vectors.safetensors",
    params:
        vectors="{vectors}",
        settings=settings_of("word_vectors", "vectors"),
        seed=CONFIG.seed,
        code=code_of("word_vectors.py"),
        lock=LOCK,
    log:
        "<logs>/word_vectors/{vectors}.log",
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    message:
        "word vectors {wildcards.vectors}"
    script:
        "../workflow_scripts/word_vectors.py"
