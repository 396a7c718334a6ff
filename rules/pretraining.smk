rule pretraining_data:
    input:
        sentences="<resources>/corpora/{corpus}/sentences.parquet",
        tokenizer="<resources>/tokenizers/{tokenizer}/tokenizer.json",
        tokenizer_config="<resources>/tokenizers/{tokenizer}/tokenizer_config.json",
        vocabulary="<resources>/tokenizers/{tokenizer}/vocabulary.parquet",
    output:
        data="<resources>/pretraining_data/{corpus}/{tokenizer}/sequences.parquet",
        counts="<resources>/pretraining_data/{corpus}/{tokenizer}/counts.parquet",
    log:
        "<logs>/pretraining_data/{corpus}/{tokenizer}.log",
    conda:
        "../envs/cpu.yaml"
    threads: THREADS
    params:
        corpus="{corpus}",
        tokenizer="{tokenizer}",
        languages=lambda wildcards: CONFIG.pretraining.languages,
        sampling_exponent=lambda wildcards: CONFIG.pretraining.sampling_exponent,
        length=lambda wildcards: CONFIG.pretraining.length,
        seed=CONFIG.seed,
        code=code_of("pretraining_data.py"),
        lock=LOCK,
    message:
        "pack {wildcards.corpus} for pre-training with {wildcards.tokenizer}"
    script:
        "../workflow_scripts/pretraining_data.py"


rule pretraining:
    input:
        weights="<results>/models/{model}/step-0/model.safetensors",
        files=expand("<results>/models/{{model}}/step-0/{file}", file=MODEL_FILES),
        vocabulary=of_model("<resources>/tokenizers/{tokenizer}/vocabulary.parquet"),
        data=pretraining_sequences,
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
        history="<results>/models/{model}/pretraining_history.parquet",
    log:
        "<logs>/pretraining/{model}.log",
    priority: 5
    conda:
        "../envs/gpu.yaml" if GPUS else "../envs/cpu.yaml"
    threads: THREADS
    resources:
        gpu=GPUS,
    params:
        model="{model}",
        settings=pretraining_settings(),
        steps=TRAINED_STEPS,
        gpus=GPUS,
        seed=lambda wildcards: model_of(wildcards).seed,
        code=code_of("pretraining.py"),
        lock=LOCK,
    message:
        "continual pre-training of {wildcards.model}"
    script:
        "../workflow_scripts/pretraining.py"
