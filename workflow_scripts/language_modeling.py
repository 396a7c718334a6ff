"""Script of the language modeling stage."""

from lexigraft.workflow.stage import stage

with stage("language_modeling", snakemake) as job:
    from lexigraft.evaluation.language_modeling import write_language_modeling
    from lexigraft.evaluation.tasks.language_modeling import LanguageModelingTask
    from lexigraft.settings import parse

    write_language_modeling(
        parse(LanguageModelingTask, job.params.settings),
        sentences=job.input.sentences,
        model_folder=job.input.weights.parent,
        path=job.output.sentences,
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
