rule initialization:
    input:
        config=of_model("<resources>/sources/{source}/config.json"),
        weights=of_model("<resources>/sources/{source}/model.safetensors"),
        source_vocabulary=of_model("<resources>/sources/{source}/vocabulary.parquet"),
        tokenizer=of_model("<resources>/tokenizers/{tokenizer}/tokenizer.json"),
        tokenizer_config=of_model(
            "<resources>/tokenizers/{tokenizer}/tokenizer_config.json"
        ),
        target_vocabulary=of_model(
            "<resources>/tokenizers/{tokenizer}/vocabulary.parquet"
        ),
        factors=of_model("<resources>/factors/{source}-{dim}.safetensors"),
        source_matches=of_model(
            "<resources>/matches/{word_vectors}/source-{source}.parquet"
        ),
        target_matches=of_model(
            "<resources>/matches/{word_vectors}/target-{tokenizer}.parquet"
        ),
        words=of_model("<resources>/word_vectors/{word_vectors}/words.parquet"),
        vectors=of_model("<resources>/word_vectors/{word_vectors}/vectors.safetensors"),
        network=network_files,
    output:
        weights="<results>/models/{model}/step-0/model.safetensors",
        config="<results>/models/{model}/step-0/config.json",
        tokenizer="<results>/models/{model}/step-0/tokenizer.json",
        tokenizer_config="<results>/models/{model}/step-0/tokenizer_config.json",
        tokens="<results>/models/{model}/step-0/tokens.parquet",
        card="<results>/models/{model}/step-0/README.md",
    log:
        "<logs>/initialization/{model}.log",
    conda:
        "../envs/gpu.yaml" if GPUS else "../envs/cpu.yaml"
    threads: THREADS
    resources:
        gpu=GPUS,
    params:
        model="{model}",
        method=lambda wildcards: method_of(wildcards).model_dump(mode="json"),
        languages=lambda wildcards: CONFIG.sources[model_of(wildcards).source].languages,
        parity=lambda wildcards: model_of(wildcards).parity,
        card=card_of,
        gpus=GPUS,
        seed=CONFIG.seed,
        code=lambda wildcards: code_of(
            "initialization.py", [type(method_of(wildcards)).__module__]
        ),
        lock=LOCK,
    message:
        "initialise {wildcards.model}"
    script:
        "../workflow_scripts/initialization.py"
