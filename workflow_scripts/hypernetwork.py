"""Adapter of the hypernetwork stage."""

from lexigraft.stages import stage

with stage("hypernetwork", snakemake) as job:
    from lexigraft.hypernetwork.build import HypernetworkInputs, write_hypernetwork
    from lexigraft.hypernetwork.settings import HypernetworkSettings
    from lexigraft.settings import parse

    write_hypernetwork(
        parse(HypernetworkSettings, job.params.settings),
        HypernetworkInputs(
            factors=job.input.factors,
            matches=job.input.matches,
            vocabulary=job.input.vocabulary,
            words=job.input.words,
            vectors=job.input.vectors,
        ),
        name=job.params.hypernetwork,
        source=job.params.source,
        source_languages=tuple(job.params.languages),
        network_path=job.output.network,
        history_path=job.output.history,
        quality_path=job.output.quality,
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
