"""Adapter of the evidence stage."""

from lexigraft.workflow.stage import stage

with stage("evidence", snakemake) as job:
    from lexigraft.evidence import kinds

    kinds()[job.params.kind].make(vars(job.input), job.output.table, job.provenance)
