"""Script of the initialized model stage."""

from lexigraft.workflow.stage import stage

with stage("initialized_model", snakemake) as job:
    from lexigraft.initialization.build import write_initialized_model

    write_initialized_model(
        job.params.settings,
        vars(job.input),
        job.folder("weights"),
        source_languages=tuple(job.params.languages),
        card=job.params.card,
        parity=job.params.parity,
        balanced=job.params.balanced,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
