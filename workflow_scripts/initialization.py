"""Adapter of the initialisation stage."""

from lexigraft.stages import stage

with stage("initialization", snakemake) as job:
    from lexigraft.initialization import InitializationInputs, write_initialized_model

    write_initialized_model(
        job.params.method,
        job.inputs_of(InitializationInputs),
        job.folder("weights"),
        source_languages=tuple(job.params.languages),
        card=job.params.card,
        parity=job.params.parity,
        balanced=job.params.balanced,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
