"""Script of the factorization stage."""

from lexigraft.workflow.stage import stage

with stage("factors", snakemake) as job:
    from lexigraft.factors.factorize import write_factors

    write_factors(job.input.weights, job.params.dim, job.output.factors, job.provenance)
