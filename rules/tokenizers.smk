def extended_source(wildcards):
    """Files of the source that an extension builds on; none for other kinds."""
    settings = named("tokenizers", "tokenizer")(wildcards)
    if settings.kind != "extension":
        return []
    names = ["tokenizer.json", "tokenizer_config.json", "vocabulary.parquet"]
    return [f"<resources>/sources/{settings.source}/{name}" for name in names]


rule tokenizer:
    input:
        sentences=lambda wildcards: (
            "<resources>/corpora/"
            f"{named('tokenizers', 'tokenizer')(wildcards).corpus}/sentences.parquet"
        ),
        source=extended_source,
    output:
        tokenizer="<resources>/tokenizers/{tokenizer}/tokenizer.json",
        tokenizer_config="<resources>/tokenizers/{tokenizer}/tokenizer_config.json",
        vocabulary="<resources>/tokenizers/{tokenizer}/vocabulary.parquet",
    params:
        tokenizer="{tokenizer}",
        settings=settings_of("tokenizers", "tokenizer"),
        seed=CONFIG.seed,
        code=code_of("tokenizer.py"),
        lock=LOCK,
    log:
        "<logs>/tokenizers/{tokenizer}.log",
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    message:
        "target tokenizer {wildcards.tokenizer}"
    script:
        "../workflow_scripts/tokenizer.py"
