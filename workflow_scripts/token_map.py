"""Adapter of the token map stage."""

from lexigraft.workflow.stage import stage

with stage("token_map", snakemake) as job:
    from lexigraft.initialization.token_map import build_token_map

    build_token_map(
        job.params.settings,
        vars(job.input),
        job.output.token_map,
        source_languages=tuple(job.params.languages),
        provenance=job.provenance,
    )
