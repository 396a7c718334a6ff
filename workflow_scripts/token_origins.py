"""Script of the token origins stage."""

from lexigraft.workflow.stage import stage

with stage("token_origins", snakemake) as job:
    from lexigraft.token_maps.origins import write_token_origins

    write_token_origins(job.input.maps, job.input.vocabularies, job.params.rows, job.output.counts, job.provenance)
