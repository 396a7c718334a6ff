def counted_text(wildcards):
    """The corpus that a tokenizer is learned from or counted on; none for an existing one that is not counted."""
    corpus = named("tokenizers", "tokenizer")(wildcards).corpus
    return [rules.corpus.output.sentences.format(corpus=corpus)] if corpus else []


def extended_source(wildcards):
    """Files of the source that an extension builds on; none for other kinds."""
    source = getattr(named("tokenizers", "tokenizer")(wildcards), "source", None)
    made = rules.source.output
    files = (made.tokenizer, made.tokenizer_config, made.vocabulary)
    return [file.format(source=source) for file in files] if source else []


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
