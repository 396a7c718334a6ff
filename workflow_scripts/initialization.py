"""Adapter of the initialisation stage."""

from lexigraft.stages import stage

with stage("initialization", snakemake) as job:
    from lexigraft.initialization import InitializationInputs, write_initialized_model

    write_initialized_model(
        job.params.method,
        InitializationInputs(
            source=job.input.weights.parent,
            tokenizer=job.input.tokenizer.parent,
            factors=job.input.factors,
            source_matches=job.input.source_matches,
            target_matches=job.input.target_matches,
            words=job.input.words,
            vectors=job.input.vectors,
            hypernetwork=job.input.network[0] if job.input.network else None,
        ),
        job.folder("weights"),
        source_languages=tuple(job.params.languages),
        card=job.params.card,
        parity=job.params.parity,
        balanced=job.params.balanced,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
