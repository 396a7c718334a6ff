from lexigraft.pretraining.objectives import objective_of

# the registry imports all objectives, to find one by its name: the digest of the code covers the chosen one
OBJECTIVE = (
    [type(objective_of(CONFIG.pretraining)).__module__] if CONFIG.pretraining else []
)


rule pretraining_data:
    input:
        sentences=rules.corpus.output.sentences,
        tokenizer=rules.tokenizer.output.tokenizer,
        tokenizer_config=rules.tokenizer.output.tokenizer_config,
        vocabulary=rules.tokenizer.output.vocabulary,
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
        weights=rules.initialized_model.output.weights,
        files=[
            file
            for file in rules.initialized_model.output
            if "model.safetensors" not in file
        ],
        vocabulary=of_model(rules.tokenizer.output.vocabulary),
        data=lambda wildcards: packed_text(model_of(wildcards)),
    output:
        weights=expand(
            "<results>/models/{{model}}/step-{step}/model.safetensors",
            step=PLAN.steps,
        ),
        files=expand(
            "<results>/models/{{model}}/step-{step}/{file}",
            step=PLAN.steps,
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
        settings=(
            CONFIG.pretraining.model_dump(mode="json", exclude={"models"})
            if CONFIG.pretraining
            else {}
        ),
        steps=PLAN.steps,
        gpus=GPUS,
        nodes=NODES,
        seed=lambda wildcards: model_of(wildcards).seed,
        code=code_of("pretraining.py", OBJECTIVE),
        lock=LOCK,
    message:
        "continual pre-training of {wildcards.model}"
    script:
        "../workflow_scripts/pretraining.py"


for name in PLAN.trained:
    ARTIFACTS += [
        *of_models(rules.pretraining.output, [MODELS[name]]),
        *packed_text(MODELS[name]),
    ]
