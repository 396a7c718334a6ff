rule initialized_model:
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
        card=report(
            "<results>/models/{model}/step-0/README.md",
            caption="../docs/report/card.rst",
            category="Initialization",
            labels={"what": "card of {model}"},
        ),
    log:
        "<logs>/initialized_models/{model}.log",
    cache: True
    conda:
        "../envs/gpu.yaml" if GPUS else "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(3000, 3, GPUS),
        runtime=minutes(60),
        gpu=GPUS,
    params:
        model="{model}",
        method=lambda wildcards: method_of(wildcards).model_dump(mode="json"),
        languages=lambda wildcards: CONFIG.sources[model_of(wildcards).source].languages,
        parity=lambda wildcards: model_of(wildcards).parity,
        balanced=lambda wildcards: model_of(wildcards).balanced_factors,
        card=card_of,
        gpus=GPUS,
        seed=lambda wildcards: model_of(wildcards).seed,
        code=lambda wildcards: code_of(
            "initialized_model.py", [type(method_of(wildcards)).__module__]
        ),
        lock=LOCK,
    message:
        "initialize {wildcards.model}"
    script:
        "../workflow_scripts/initialized_model.py"


rule token_origins:
    input:
        tokens=expand(
            "<results>/models/{model}/step-0/tokens.parquet", model=list(MODELS)
        ),
        vocabularies=[
            f"<resources>/tokenizers/{model.tokenizer}/vocabulary.parquet"
            for model in MODELS.values()
        ],
    output:
        counts=report(
            "<results>/token_origins.parquet",
            caption="../docs/report/token_origins.rst",
            category="Initialization",
            labels={"what": "origins of all tokens"},
        ),
    log:
        "<logs>/token_origins.log",
    cache: True
    # seconds: not worth a job of a cluster
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=memory(1500, 4),
        runtime=minutes(15),
    params:
        rows=[
            {
                "run": CONFIG.run,
                "model": model.name,
                "method": model.method,
                "source": model.source,
                "tokenizer": model.tokenizer,
                "dim": str(model.dim),
                "seed": model.seed,
            }
            for model in MODELS.values()
        ],
        code=code_of("token_origins.py"),
        lock=LOCK,
    message:
        "how the tokens of all models were made"
    script:
        "../workflow_scripts/token_origins.py"
