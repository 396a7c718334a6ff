MATCHES_CODE = code_of("matches.py")


rule source_matches:
    input:
        words=rules.word_vectors.output.words,
        tokenizer=rules.source.output.tokenizer,
        tokenizer_config=rules.source.output.tokenizer_config,
        vocabulary=rules.source.output.vocabulary,
    output:
        matches="<resources>/matches/{word_vectors}/source-{source}.parquet",
    log:
        "<logs>/matches/{word_vectors}/source-{source}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 10),
        runtime=minutes(30),
    params:
        source="{source}",
        word_vectors="{word_vectors}",
        max_words_per_token=max_words_per_token,
        code=MATCHES_CODE,
        lock=LOCK,
    message:
        "matches of {wildcards.source}'s tokens with the words of {wildcards.word_vectors}"
    script:
        "../workflow_scripts/matches.py"


rule target_matches:
    input:
        words=rules.word_vectors.output.words,
        tokenizer=rules.tokenizer.output.tokenizer,
        tokenizer_config=rules.tokenizer.output.tokenizer_config,
        vocabulary=rules.tokenizer.output.vocabulary,
    output:
        matches="<resources>/matches/{word_vectors}/target-{tokenizer}.parquet",
    log:
        "<logs>/matches/{word_vectors}/target-{tokenizer}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 10),
        runtime=minutes(30),
    params:
        tokenizer="{tokenizer}",
        word_vectors="{word_vectors}",
        max_words_per_token=max_words_per_token,
        code=MATCHES_CODE,
        lock=LOCK,
    message:
        "matches of {wildcards.tokenizer}'s tokens with the words of {wildcards.word_vectors}"
    script:
        "../workflow_scripts/matches.py"
