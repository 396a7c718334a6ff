"""Script of the score table stage."""

from lexigraft.workflow.stage import stage

with stage("scores", snakemake) as job:
    from lexigraft.evaluation.collect import language_modeling_scores, tagging_scores
    from lexigraft.evaluation.scores import collect_scores

    params = job.params
    more = [
        tagging_scores(params.tagged, job.input.tag_scores, params.seeds, params.headlines),
        language_modeling_scores(params.modeled, job.input.language_modeling),
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
