REPORT_SOURCES = sorted({model.source for model in MODELS.values()})
REPORT_TOKENIZERS = sorted({model.tokenizer for model in MODELS.values()})
TESTED_CORPORA = scored.held_out_corpora(CONFIG, "shows_repeats")
# what the report calls a tokenizer on a corpus -> its fertility there
FERTILITY = {}
for corpus in scored.held_out_corpora(CONFIG, "shows_fertility"):
    for name in REPORT_SOURCES:
        (FERTILITY[f"{corpus}/source-{name}"],) = expand(
            rules.source_fertility.output.fertility, corpus=corpus, source=name
        )
    for name in REPORT_TOKENIZERS:
        (FERTILITY[f"{corpus}/target-{name}"],) = expand(
            rules.target_fertility.output.fertility, corpus=corpus, tokenizer=name
        )


rule report:
    input:
        scores=rules.scores.output.scores,
        intervals=rules.significance.output.intervals,
        comparisons=rules.significance.output.comparisons,
        token_origins=rules.token_origins.output.counts,
        corpora=expand(rules.corpus.output.counts, corpus=list(CONFIG.corpora)),
        test_sentences=expand(rules.corpus.output.held_out, corpus=TESTED_CORPORA),
        tokens=expand(rules.initialized_model.output.tokens, model=list(MODELS)),
        weights=expand(rules.initialized_model.output.weights, model=list(MODELS)),
        factors=[embedding_table(model) for model in MODELS.values()],
        source_vocabularies=expand(
            rules.source.output.vocabulary, source=REPORT_SOURCES
        ),
        target_vocabularies=expand(
            rules.tokenizer.output.vocabulary, tokenizer=REPORT_TOKENIZERS
        ),
        pretraining=expand(rules.pretraining.output.history, model=PLAN.trained),
        held_out=expand(rules.pretraining.output.held_out, model=PLAN.trained),
        fertility=list(FERTILITY.values()),
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
        rows=SCORED,
        notes={name: task.note for name, task in CONFIG.tasks.items()},
        # what the files of an input are of
        names={
            "corpora": list(CONFIG.corpora),
            "test_sentences": TESTED_CORPORA,
            **dict.fromkeys(("tokens", "weights", "factors"), list(MODELS)),
            "source_vocabularies": REPORT_SOURCES,
            "target_vocabularies": REPORT_TOKENIZERS,
            **dict.fromkeys(("pretraining", "held_out"), PLAN.trained),
            "fertility": list(FERTILITY),
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
