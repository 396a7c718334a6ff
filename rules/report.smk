REPORT_SOURCES = sorted({model.source for model in MODELS.values()})
REPORT_TOKENIZERS = sorted({model.tokenizer for model in MODELS.values()})
TESTED_CORPORA = sorted({task.corpus for task in tasks_of("retrieval").values()})
FERTILITY = [
    f"{corpus}/{tokenizer}"
    for corpus in sorted(
        {task.corpus for task in tasks_of("language_modeling").values()}
    )
    for tokenizer in [
        *(f"source-{name}" for name in REPORT_SOURCES),
        *(f"target-{name}" for name in REPORT_TOKENIZERS),
    ]
]


rule report:
    input:
        scores="<results>/scores.parquet",
        intervals="<results>/intervals.parquet",
        comparisons="<results>/comparisons.parquet",
        token_origins="<results>/token_origins.parquet",
        corpora=expand(
            "<resources>/corpora/{corpus}/counts.parquet", corpus=list(CONFIG.corpora)
        ),
        test_sentences=expand(
            "<resources>/corpora/{corpus}/held_out.parquet", corpus=TESTED_CORPORA
        ),
        tokens=expand(
            "<results>/models/{model}/step-0/tokens.parquet", model=list(MODELS)
        ),
        weights=expand(
            "<results>/models/{model}/step-0/model.safetensors", model=list(MODELS)
        ),
        factors=[embedding_table(model) for model in MODELS.values()],
        source_vocabularies=expand(
            "<resources>/sources/{source}/vocabulary.parquet", source=REPORT_SOURCES
        ),
        target_vocabularies=expand(
            "<resources>/tokenizers/{tokenizer}/vocabulary.parquet",
            tokenizer=REPORT_TOKENIZERS,
        ),
        pretraining=expand(
            "<results>/models/{model}/pretraining_history.parquet",
            model=PLAN.trained,
        ),
        held_out=expand(
            "<results>/models/{model}/pretraining_held_out.parquet",
            model=PLAN.trained,
        ),
        fertility=[f"<resources>/fertility/{name}.parquet" for name in FERTILITY],
        hypernetworks=[
            rules.hypernetwork.output.history.format(**values)
            for values in PLAN.networks().values()
        ],
        quality=[
            rules.hypernetwork.output.quality.format(**values)
            for values in PLAN.networks().values()
        ],
    output:
        report=report(
            "<results>/report.html",
            caption="../docs/report/page.rst",
            category="Report",
            labels={"what": "all models compared"},
        ),
    log:
        "<logs>/report.log",
    cache: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=memory(3000, 0.5),
        runtime=minutes(30),
    params:
        run=CONFIG.run,
        configuration=CONFIG.model_dump(mode="json"),
        rows=[*SCORED, *TAGGED, *MODELED],
        # what the files of an input are of
        names={
            "corpora": list(CONFIG.corpora),
            "test_sentences": TESTED_CORPORA,
            **dict.fromkeys(("tokens", "weights", "factors"), list(MODELS)),
            "source_vocabularies": REPORT_SOURCES,
            "target_vocabularies": REPORT_TOKENIZERS,
            **dict.fromkeys(("pretraining", "held_out"), PLAN.trained),
            "fertility": FERTILITY,
            **dict.fromkeys(("hypernetworks", "quality"), list(PLAN.networks())),
        },
        seed=CONFIG.seed,
        code=code_of("report.py"),
        lock=LOCK,
    message:
        "report"
    script:
        "../workflow_scripts/report.py"


if CONFIG.tasks:
    ARTIFACTS += rules.report.output
