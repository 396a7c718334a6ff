rule tokenizer:
    input:
        sentences=counted_text,
        source=extended_source,
        existing=files_of("tokenizers", "tokenizer"),
    output:
        tokenizer="<resources>/tokenizers/{tokenizer}/tokenizer.json",
        tokenizer_config="<resources>/tokenizers/{tokenizer}/tokenizer_config.json",
        vocabulary="<resources>/tokenizers/{tokenizer}/vocabulary.parquet",
    log:
        "<logs>/tokenizers/{tokenizer}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(2000, 20),
        runtime=minutes(60),
    params:
        tokenizer="{tokenizer}",
        settings=settings_of("tokenizers", "tokenizer"),
        seed=CONFIG.seed,
        code=code_of("tokenizer.py"),
        lock=LOCK,
    message:
        "target tokenizer {wildcards.tokenizer}"
    script:
        "../workflow_scripts/tokenizer.py"


ARTIFACTS += of_models(rules.tokenizer.output)
