"""Adapter of the score table."""

from lexigraft.stages import stage

with stage("scores", snakemake) as job:
    from lexigraft.evaluation.scores import collect_scores

    collect_scores(job.input.ranks, job.params.rows, job.params.top_k, job.output.scores, job.provenance)
