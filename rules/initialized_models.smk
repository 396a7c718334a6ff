rule initialized_model:
    input:
        unpack(row_evidence),
        config=of_model(rules.source.output.config),
        weights=of_model(rules.source.output.weights),
        table=lambda wildcards: embedding_table(model_of(wildcards)),
        source_vocabulary=of_model(rules.source.output.vocabulary),
        tokenizer=of_model(rules.tokenizer.output.tokenizer),
        tokenizer_config=of_model(rules.tokenizer.output.tokenizer_config),
        target_vocabulary=of_model(rules.tokenizer.output.vocabulary),
        token_map=of_model(rules.token_map.output.token_map),
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
        settings=lambda wildcards: PLAN.methods[model_of(wildcards).method].model_dump(
            mode="json"
        ),
        languages=lambda wildcards: CONFIG.sources[model_of(wildcards).source].languages,
        parity=lambda wildcards: model_of(wildcards).parity,
        balanced=lambda wildcards: model_of(wildcards).balanced_factors,
        card=lambda wildcards: stop_on_error(PLAN.card, model_of(wildcards)),
        gpus=GPUS,
        seed=lambda wildcards: model_of(wildcards).seed,
        code=lambda wildcards: code_of(
            "initialized_model.py", PLAN.model_modules(model_of(wildcards))
        ),
        lock=LOCK,
    message:
        "initialize {wildcards.model}"
    script:
        "../workflow_scripts/initialized_model.py"


rule token_origins:
    input:
        maps=of_models([rules.token_map.output.token_map]),
        vocabularies=of_models([rules.tokenizer.output.vocabulary]),
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


MODEL_FILES = [
    Path(file).name
    for file in rules.initialized_model.output
    if "model.safetensors" not in file
]
ARTIFACTS += of_models(rules.initialized_model.output)
ARTIFACTS += rules.token_origins.output
