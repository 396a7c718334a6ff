rule source:
    input:
        files=files_of("sources", "source"),
    output:
        config="<resources>/sources/{source}/config.json",
        weights="<resources>/sources/{source}/model.safetensors",
        tokenizer="<resources>/sources/{source}/tokenizer.json",
        tokenizer_config="<resources>/sources/{source}/tokenizer_config.json",
        vocabulary="<resources>/sources/{source}/vocabulary.parquet",
    log:
        "<logs>/sources/{source}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=memory(2000, 4),
        runtime=minutes(30),
    params:
        source="{source}",
        settings=settings_of("sources", "source"),
        code=code_of("source.py"),
        lock=LOCK,
    message:
        "source model {wildcards.source}: weights, tokenizer and vocabulary in one form"
    script:
        "../workflow_scripts/source.py"


ARTIFACTS += of_models(rules.source.output)
