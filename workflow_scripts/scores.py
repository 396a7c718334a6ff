"""Adapter of the score table."""

from lexigraft.stages import stage

with stage("scores", snakemake) as job:
    from lexigraft.evaluation.collect import language_modelling_scores, tagging_scores
    from lexigraft.evaluation.scores import collect_scores

    params = job.params
    more = [
        tagging_scores(params.tagged, job.input.tag_scores, params.seeds, params.headlines),
        language_modelling_scores(params.modelled, job.input.language_modelling),
    ]
    collect_scores(
        job.input.ranks,
        params.rows,
        params.top_k,
        job.output.scores,
        job.provenance,
        more,
        reciprocal=params.reciprocal,
    )
