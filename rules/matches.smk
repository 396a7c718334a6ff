MATCHES_CODE = code_of("matches.py")


rule source_matches:
    input:
        words="<resources>/word_vectors/{vectors}/words.parquet",
        tokenizer="<resources>/sources/{source}/tokenizer.json",
        tokenizer_config="<resources>/sources/{source}/tokenizer_config.json",
        vocabulary="<resources>/sources/{source}/vocabulary.parquet",
    output:
        matches="<resources>/matches/{vectors}/source-{source}.parquet",
    log:
        "<logs>/matches/{vectors}/source-{source}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 10),
        runtime=minutes(30),
    params:
        source="{source}",
        vectors="{vectors}",
        max_words_per_token=max_words_per_token,
        code=MATCHES_CODE,
        lock=LOCK,
    message:
        "matches of {wildcards.source}'s tokens with the words of {wildcards.vectors}"
    script:
        "../workflow_scripts/matches.py"


rule target_matches:
    input:
        words="<resources>/word_vectors/{vectors}/words.parquet",
        tokenizer="<resources>/tokenizers/{tokenizer}/tokenizer.json",
        tokenizer_config="<resources>/tokenizers/{tokenizer}/tokenizer_config.json",
        vocabulary="<resources>/tokenizers/{tokenizer}/vocabulary.parquet",
    output:
        matches="<resources>/matches/{vectors}/target-{tokenizer}.parquet",
    log:
        "<logs>/matches/{vectors}/target-{tokenizer}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 10),
        runtime=minutes(30),
    params:
        tokenizer="{tokenizer}",
        vectors="{vectors}",
        max_words_per_token=max_words_per_token,
        code=MATCHES_CODE,
        lock=LOCK,
    message:
        "matches of {wildcards.tokenizer}'s tokens with the words of {wildcards.vectors}"
    script:
        "../workflow_scripts/matches.py"
