"""Script of the hypernetwork stage."""

from lexigraft.workflow.stage import stage

with stage("hypernetwork", snakemake) as job:
    from lexigraft.hypernetwork.build import HypernetworkInputs, HypernetworkOutputs, write_hypernetwork
    from lexigraft.hypernetwork.settings import HypernetworkSettings
    from lexigraft.settings import parse

    write_hypernetwork(
        parse(HypernetworkSettings, job.params.settings),
        job.inputs_of(HypernetworkInputs),
        HypernetworkOutputs(job.output.network, job.output.history, job.output.quality),
        name=job.params.hypernetwork,
        source=job.params.source,
        source_languages=tuple(job.params.languages),
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
