"""Adapter of the hypernetwork stage."""

from lexigraft.stages import stage

with stage("hypernetwork", snakemake) as job:
    from lexigraft.hypernetwork.build import write_hypernetwork
    from lexigraft.hypernetwork.settings import HypernetworkSettings
    from lexigraft.settings import parse

    write_hypernetwork(
        parse(HypernetworkSettings, job.params.settings),
        factors_path=job.input.factors,
        matches_path=job.input.matches,
        vocabulary_path=job.input.vocabulary,
        words_path=job.input.words,
        vectors_path=job.input.vectors,
        source_languages=tuple(job.params.languages),
        network_path=job.output.network,
        history_path=job.output.history,
        seed=job.params.seed,
        threads=job.threads,
        gpus=job.params.gpus,
        provenance=job.provenance,
    )
