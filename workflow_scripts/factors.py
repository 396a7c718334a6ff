"""Adapter of the factorisation stage."""

from lexigraft.stages import stage

with stage("factors", snakemake) as job:
    from lexigraft.factorization import write_factors

    write_factors(job.input.weights, job.params.dim, job.output.factors, job.provenance)
