"""Adapter of language modelling."""

from lexigraft.stages import stage

with stage("language_modelling", snakemake) as job:
    from lexigraft.evaluation.language_modelling import write_language_modelling
    from lexigraft.evaluation.settings import LanguageModellingTask
    from lexigraft.settings import parse

    write_language_modelling(
        parse(LanguageModellingTask, job.params.settings),
        sentences=job.input.sentences,
        model_folder=job.input.weights.parent,
        path=job.output.sentences,
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
