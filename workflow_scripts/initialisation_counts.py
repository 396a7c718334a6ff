"""Adapter of the table of initialisations."""

from lexigraft.stages import stage

with stage("initialisation", snakemake) as job:
    from lexigraft.initialization_counts import write_initialisation_counts

    write_initialisation_counts(job.input.tokens, job.input.vocabularies, job.params.rows, job.output.counts, job.provenance)
