from lexigraft.pretraining.objectives import objective_of

# the registry imports all objectives, to find one by its name: the digest of the code covers the chosen one
OBJECTIVE = (
    [type(objective_of(CONFIG.pretraining)).__module__] if CONFIG.pretraining else []
)


rule pretraining_data:
    input:
        sentences="<resources>/corpora/{corpus}/sentences.parquet",
        tokenizer="<resources>/tokenizers/{tokenizer}/tokenizer.json",
        tokenizer_config="<resources>/tokenizers/{tokenizer}/tokenizer_config.json",
        vocabulary="<resources>/tokenizers/{tokenizer}/vocabulary.parquet",
    output:
        data="<resources>/pretraining_data/{corpus}/{tokenizer}/{language}.arrow",
    log:
        "<logs>/pretraining_data/{corpus}/{tokenizer}/{language}.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 4),
        runtime=minutes(60),
    params:
        corpus="{corpus}",
        tokenizer="{tokenizer}",
        language="{language}",
        max_sentences=lambda wildcards: CONFIG.pretraining.limit_of(wildcards.language),
        length=lambda wildcards: CONFIG.pretraining.length,
        code=code_of("pretraining_data.py"),
        lock=LOCK,
    message:
        "pack {wildcards.language} of {wildcards.corpus} for pre-training with {wildcards.tokenizer}"
    script:
        "../workflow_scripts/pretraining_data.py"


rule pretraining:
    input:
        weights="<results>/models/{model}/step-0/model.safetensors",
        files=expand("<results>/models/{{model}}/step-0/{file}", file=MODEL_FILES),
        vocabulary=of_model("<resources>/tokenizers/{tokenizer}/vocabulary.parquet"),
        data=lambda wildcards: pretraining_shards(model_of(wildcards).tokenizer),
    output:
        weights=expand(
            "<results>/models/{{model}}/step-{step}/model.safetensors",
            step=TRAINED_STEPS,
        ),
        files=expand(
            "<results>/models/{{model}}/step-{step}/{file}",
            step=TRAINED_STEPS,
            file=MODEL_FILES,
        ),
        history=report(
            "<results>/models/{model}/pretraining_history.parquet",
            caption="../docs/report/pretraining_history.rst",
            category="Continual pre-training",
            labels={"model": "{model}", "table": "losses"},
        ),
        held_out=report(
            "<results>/models/{model}/pretraining_held_out.parquet",
            caption="../docs/report/pretraining_held_out.rst",
            category="Continual pre-training",
            labels={"model": "{model}", "table": "held-out losses"},
        ),
        languages="<results>/models/{model}/pretraining_languages.parquet",
        speed="<results>/models/{model}/pretraining_speed.parquet",
    log:
        "<logs>/pretraining/{model}.log",
    cache: True
    priority: 5
    conda:
        "../envs/gpu.yaml" if GPUS else "../envs/cpu.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(4000, 4, GPUS),
        runtime=minutes(360),
        gpu=GPUS * NODES,
        nodes=NODES,
    params:
        model="{model}",
        settings=pretraining_settings(),
        steps=TRAINED_STEPS,
        gpus=GPUS,
        nodes=NODES,
        seed=lambda wildcards: model_of(wildcards).seed,
        code=code_of("pretraining.py", OBJECTIVE),
        lock=LOCK,
    message:
        "continual pre-training of {wildcards.model}"
    script:
        "../workflow_scripts/pretraining.py"
